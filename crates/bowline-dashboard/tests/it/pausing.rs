//! Pause and resume from the pages: where an operator finds them, what they say first, who may press them.

use bowline_model::{FlowRules, WorkflowName};

use crate::{
    browser::{SCREENS, check, start},
    pages::{link, page},
    server::Server,
};

/// A server of an app with these workflows.
pub(crate) async fn server() -> Server {
    let named = ["ship", "bill"].map(|name| (WorkflowName::from(name), None));
    let rules: FlowRules = named.into_iter().collect();
    Server::start_told(|admin| admin.flow_rules(rules)).await
}

#[tokio::test]
async fn a_workflow_is_paused_and_resumed_where_an_operator_looks_for_it() {
    let server = server().await;
    let run = server.accept("ship").await;
    server.accept("ship").await;
    let form = "/pause?workflow=ship".to_owned();
    for (path, text) in [
        ("/workflows".to_owned(), "Pause<span class=\"hidden\"> ship</span>"),
        ("/?workflow=ship".to_owned(), "Pause it<span class=\"hidden\">: ship</span>"),
        (format!("/runs/{run}"), "Pause<span class=\"hidden\"> ship</span>"),
    ] {
        assert_eq!(link(&server.browse(&path).await, text), Some(form.clone()), "{path}");
    }
    let before = page(&server, &form).await;
    assert!(before.contains("2 runs are open. Events are accepted meanwhile"), "{before}");

    let reply = server.send_form("/pause", "workflow=ship&command=pause&who=kim&why=the+CRM+moves").await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let to = reply.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let workflows = page(&server, to).await;
    assert!(workflows.contains("ship is paused."), "{workflows}");
    assert!(workflows.contains("ship ‖paused paused by kim: the CRM moves, since"), "{workflows}");
    assert_eq!(server.pokes(), 1);

    let resume = "Resume<span class=\"hidden\"> ship</span>";
    for path in ["/workflows".to_owned(), "/".to_owned(), format!("/runs/{run}")] {
        assert_eq!(link(&server.browse(&path).await, resume), Some(form.clone()), "{path}");
    }
    assert!(!page(&server, "/?workflow=ship").await.contains("Pause it"));
    let before = page(&server, &form).await;
    assert!(
        before.contains("paused by kim: the CRM moves, since") && before.contains("2 runs wait."),
        "{before}"
    );
    let reply = server.send_form("/pause", "workflow=ship&command=resume&who=kim").await;
    assert_eq!(reply.status, 303, "{reply:?}");
    assert!(page(&server, to).await.contains("ship goes on."));
    assert_eq!(server.get("/api/paused").await.json, serde_json::json!([]));
}

#[tokio::test]
async fn what_is_no_workflow_and_forms_of_other_pages_pause_nothing() {
    let server = server().await;
    let pause = "workflow=ship&command=pause";
    assert_eq!(server.browse("/pause?workflow=sheep").await.status, 404);
    assert_eq!(server.send_form("/pause", "workflow=sheep&command=pause").await.status, 404);
    for form in ["workflow=ship", "workflow=ship&command=stop", "command=pause", ""] {
        let status = server.send_form("/pause", form).await.status;
        assert!((400..500).contains(&status), "{form:?}: {status}");
    }
    let host = server.address.to_string();
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let mut headers =
            vec![("host", host.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(server.ask("POST", "/pause", &headers, pause).await.status, 403, "{origin:?}");
    }
    // Looking at it does nothing either.
    page(&server, "/pause?workflow=ship").await;
    assert_eq!(server.get("/api/paused").await.json, serde_json::json!([]));
    assert_eq!(server.pokes(), 0);
}

#[tokio::test]
async fn a_paused_workflow_that_the_app_no_longer_has_can_be_resumed() {
    let server = server().await;
    let gone = bowline_store::Paused {
        workflow: WorkflowName::from("gone"),
        since: "2026-11-22T10:00:00Z".parse().unwrap(),
        why: None,
    };
    server.store.pause(gone).await.unwrap();
    assert!(page(&server, "/workflows").await.contains("gone ‖paused"));
    assert!(page(&server, "/pause?workflow=gone").await.contains("no run of it waits"));
    assert_eq!(server.send_form("/pause", "workflow=gone&command=resume").await.status, 303);
    assert!(!page(&server, "/workflows").await.contains("gone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_pauses_and_resumes_a_workflow() {
    let Some(mut chromium) = start() else {
        bowline_testing::skip!("the_keyboard_pauses_and_resumes_a_workflow", "there is no chromium");
    };
    let server = server().await;
    server.accept("ship").await;
    let base = format!("http://{}", server.address);
    tokio::task::block_in_place(|| {
        for (width, height) in SCREENS {
            chromium.look(width, height, "light");
            for (link, button, says) in
                [("Pause ship", "Pause", "ship is paused."), ("Resume ship", "Resume", "ship goes on.")]
            {
                check(&mut chromium, &format!("{base}/workflows"), &format!("the workflows at {width} px"));
                chromium.tab_to(link);
                chromium.enter(&format!("{base}/pause?workflow=ship"));
                check(
                    &mut chromium,
                    &format!("{base}/pause?workflow=ship"),
                    &format!("{link} at {width} px"),
                );
                chromium.tab_to(button);
                chromium.enter(&format!("{base}/workflows?told=ship"));
                let text = chromium.text();
                assert!(text.contains(says), "{says}: {text}");
            }
        }
    });
}
