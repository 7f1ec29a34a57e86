//! Programs in real runs.

use bowline::{Api, App, Context, Error, Exec, Result, Workflow, cpu, workflow};
use bowline_exec::Lane;
use bowline_model::RunState;
use bowline_testing::{Answer, TestApp, every_crash_point, peer::python};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::fifo::Fifo;

/// Posts what it reads to the address that it is told, under its step's key.
const POST: &str = r#"
import json, os, sys, urllib.request
given = json.load(sys.stdin)
key = os.environ["BOWLINE_IDEMPOTENCY_KEY"]
request = urllib.request.Request(given["url"], json.dumps(given["row"]).encode(),
    {"content-type": "application/json", "idempotency-key": key})
try:
    print(json.dumps(json.load(urllib.request.urlopen(request))))
except urllib.error.HTTPError as error:
    sys.exit(75 if error.code == 503 else 1)
"#;

struct Shop {
    crm: Api,
    python: String,
}

impl Shop {
    async fn score(self: Arc<Self>, cx: Context, url: String) -> Result<Value> {
        let row = json!({"name": "Ada", "n": 3});
        let post = Exec::new(&self.python).arg("-c").arg(POST).json(&json!({"url": url, "row": row}));
        let made: Value = cx.step("post by a program", post.decode()).await?;
        let id = made["id"].as_u64().unwrap_or_default();
        let doubled = cx.step("double", cpu(move || Ok(id * 2))).await?;
        cx.step("tell", self.crm.post("/told").json(&json!({"doubled": doubled}))).await?;
        Ok(made)
    }
}

fn score() -> Workflow<Shop, String, Value> {
    workflow("score", Shop::score)
}

fn shop(python: &str) -> App<Shop> {
    let python = python.to_owned();
    App::new("shop", move |setup| Shop {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL"),
        python: python.clone(),
    })
    .workflow(score())
}

#[test]
fn no_crash_makes_a_difference_to_a_program_that_uses_its_key() {
    let Some(python) = python("urllib.request") else {
        bowline_testing::skip!("no_crash_makes_a_difference_to_a_program_that_uses_its_key", "needs python3");
    };
    let python = python.display().to_string();
    let tried = every_crash_point(
        || shop(&python),
        |app: &TestApp<Shop>| {
            let crm = app.mock("crm");
            crm.answer(Answer::json(201, json!({"id": 7})));
            crm.fail_next(1, 503);
            crm.remember_keys();
            let run = app.start(&score(), &format!("{}/rows", crm.url())).end();
            (run.state(), run.output::<Value>())
        },
    );
    assert!(tried.moments >= 6, "{tried:?}");
}

struct Hooked {
    fifo: String,
    /// Of its own: the place is free at once, whatever other tests run, and no time passes for one to be.
    lane: Lane,
}

impl Hooked {
    fn at(fifo: &str) -> Self {
        Self { fifo: fifo.to_owned(), lane: Lane::new(1) }
    }

    /// Hangs unless the file is there.
    async fn hang(self: Arc<Self>, cx: Context, (): ()) -> Result<String> {
        let script = r#"exec 9>"$FIFO"; echo "$BOWLINE_IDEMPOTENCY_KEY" >&9; [ -e "$FIFO.go" ] || sleep 1000; echo through"#;
        let hang = Exec::new("sh").arg("-c").arg(script).env("FIFO", &self.fifo).lane(&self.lane);
        Ok(cx.step("hang", hang).await?.text)
    }
}

#[test]
fn a_program_in_flight_at_a_crash_is_killed_and_runs_again_under_the_same_key() {
    let fifo = Fifo::new();
    let (path, lines) = (fifo.text(), fifo.lines());
    let hang = workflow("hang", Hooked::hang);
    let app = TestApp::new(App::new("hooked", move |_| Hooked::at(&path)).workflow(hang.clone()));
    let run = app.start(&hang, &());
    let key = lines.next();
    app.crash();
    // Nobody holds the pipe any more: the program of the first process is gone. The next one opens it anew.
    lines.all_gone();
    let lines = fifo.lines();
    std::fs::write(format!("{}.go", fifo.text()), "").unwrap();
    let run = run.end();
    assert_eq!((run.state(), run.output::<String>().as_str()), (RunState::Completed, "through\n"));
    assert_eq!(lines.next(), key);
    lines.all_gone();
}

#[test]
fn a_cancelled_run_kills_its_program() {
    let fifo = Fifo::new();
    let (path, lines) = (fifo.text(), fifo.lines());
    let hang = workflow("hang", Hooked::hang);
    let app = TestApp::new(App::new("hooked", move |_| Hooked::at(&path)).workflow(hang.clone()));
    let run = app.start(&hang, &());
    lines.next();
    let run = app.cancel(run.id());
    lines.all_gone();
    assert_eq!(run.end().state(), RunState::Cancelled);
}

#[test]
fn a_run_learns_why_its_program_failed() {
    struct Nothing;
    async fn fails(_: Arc<Nothing>, cx: Context, (): ()) -> Result<String> {
        let refused = Exec::new("sh").arg("-c").arg("echo no such column >&2; exit 65");
        match cx.step("score", refused).await {
            Ok(printed) => Ok(printed.text),
            Err(error) if error.code() == Some("exit 65") => Ok(error.to_string()),
            Err(error) => Err(Error::permanent(error)),
        }
    }
    let fails = workflow("fails", fails);
    let app = TestApp::new(App::new("fails", |_| Nothing).workflow(fails.clone()));
    let told = app.start(&fails, &()).end().output::<String>();
    assert!(told.ends_with("exited with 65 (wrong data): no such column"), "{told}");
}
