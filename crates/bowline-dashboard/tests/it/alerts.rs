//! What people are told of dead letters: a real store, a real hook, and a clock that moves when told.

mod apis;
mod asked;
mod no_room;
mod site;

use bowline_model::DeadReason;
use bowline_store::Store;
use bowline_testing::{Answer, Match};
use serde_json::json;

use site::{HOOK_SECRET, Site};

#[tokio::test]
async fn fifty_dead_letters_of_two_workflows_make_one_message() {
    let mut site = Site::new().await;
    site.start().await;
    site.advance(14).await;
    site.die("stripe-to-crm", 30).await;
    site.advance(9).await;
    site.die_of("refund", 20, DeadReason::Malformed, "nothing at /data/object").await;
    assert_eq!(site.texts(), [""; 0], "the first waits for its neighbours");
    site.advance(1).await;

    let texts = site.texts();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts[0].starts_with("*payments*: 50 new dead letters\n"), "{}", texts[0]);
    assert!(
        texts[0].contains("• `stripe-to-crm`, failed: 30 (runs 30, 29, 28, 27, 26, …)\n"),
        "{}",
        texts[0]
    );
    assert!(texts[0].contains("• `refund`, malformed: 20 (runs 50, 49,"), "{}", texts[0]);
    assert!(texts[0].contains("the last: `nothing at /data/object`\n"), "{}", texts[0]);
    assert!(!texts[0].contains("payload@example.com"), "{}", texts[0]);
    assert_eq!(site.chat.requests()[0].header("content-type"), Some("application/json"));

    site.advance(3600).await;
    assert_eq!(site.texts().len(), 1, "nothing new, nothing told");
}

#[tokio::test]
async fn while_they_keep_coming_a_message_goes_every_five_minutes_and_says_how_many_more() {
    let mut site = Site::new().await;
    site.start().await;
    for _ in 0..11 * 60 / 10 {
        site.die("sync", 2).await;
        site.advance(10).await;
    }
    let heads: Vec<String> =
        site.texts().iter().map(|text| text.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        heads,
        [
            "*payments*: 4 new dead letters",
            "*payments*: 60 more dead letters, 64 in all",
            "*payments*: 60 more dead letters, 124 in all"
        ]
    );
}

#[tokio::test]
async fn a_run_that_was_retried_and_died_again_is_told_of_again() {
    let mut site = Site::new().await;
    let runs = site.die("sync", 3).await;
    site.start().await;
    site.advance(10).await;
    assert_eq!(site.texts().len(), 1);

    site.retry(runs[1]).await;
    site.end_queued("sync", DeadReason::Failed, "still 422").await;
    site.advance(400).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    let told = format!(
        "*payments*: 1 more dead letter, 3 in all\n• `sync`, failed: run {}\n    `still 422`\n",
        runs[1]
    );
    assert!(texts[1].starts_with(&told), "{}", texts[1]);
}

#[tokio::test]
async fn what_was_mended_before_its_message_is_not_told() {
    let mut site = Site::new().await;
    site.start().await;
    let runs = site.die("sync", 1).await;
    site.retry(runs[0]).await;
    site.advance(600).await;
    assert_eq!(site.texts(), [""; 0]);
}

#[tokio::test]
async fn a_message_that_was_sent_and_not_noted_is_repeated_once_and_not_lost() {
    let mut site = Site::new().await;
    site.die("sync", 2).await;
    site.chat.when(Match::any()).times(1).answer(Answer::hang());
    site.jump(60);
    site.launch();
    site.chat.wait_for(1).await;
    site.crash().await;

    site.start().await;
    let texts = site.texts();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert_eq!(texts[0], texts[1]);
    site.crash().await;
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 2, "noted: not told again, not even after another start");
}

#[tokio::test]
async fn a_crash_before_the_message_loses_nothing() {
    let mut site = Site::new().await;
    site.start().await;
    site.die("sync", 2).await;
    site.crash().await;
    site.jump(5);
    site.start().await;
    assert_eq!(site.texts(), [""; 0], "neighbours may come");
    site.crash().await;
    site.jump(86_400);
    site.start().await;
    assert_eq!(site.texts().len(), 1);
}

#[tokio::test]
async fn a_first_start_on_a_store_full_of_old_dead_letters_sends_one_summary() {
    let mut site = Site::new().await;
    // More than a page of the store.
    site.die("sync", 1200).await;
    site.jump(86_400);
    site.start().await;
    site.advance(3600).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts[0].starts_with("*payments*: 1200 new dead letters\n"), "{}", texts[0]);
    let cursor = site.store.cursor("alerts").await.unwrap().unwrap();
    assert!(cursor.len() < 200, "ids in a row take one span: {cursor}");
}

#[tokio::test]
async fn a_hook_that_is_down_is_tried_again_and_then_told_everything_at_once() {
    let mut site = Site::new().await;
    site.chat.go_down();
    site.die("sync", 1).await;
    site.start().await;
    site.advance(10).await;
    site.die("sync", 4).await;
    site.advance(3600).await;
    site.chat.come_back().unwrap();
    assert_eq!(site.texts(), [""; 0]);
    site.advance(600).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts[0].starts_with("*payments*: 5 new dead letters\n"), "{}", texts[0]);
}

#[tokio::test]
async fn a_hook_that_says_when_is_asked_no_sooner() {
    let mut site = Site::new().await;
    let busy = Answer::status(429).header("retry-after", "120");
    site.chat.when(Match::any()).times(1).answer(busy);
    site.die("sync", 1).await;
    site.start().await;
    site.advance(10).await;
    assert_eq!(site.texts().len(), 1);
    site.die("sync", 1).await;
    site.advance(119).await;
    assert_eq!(site.texts().len(), 1);
    site.advance(15).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(texts[1].starts_with("*payments*: 2 new dead letters\n"), "{}", texts[1]);
}

#[tokio::test]
async fn a_hook_that_says_no_is_asked_rarely_and_for_good() {
    let mut site = Site::new().await;
    site.chat.answer(Answer::raw(404, "text/plain", "no_service"));
    site.die("sync", 1).await;
    site.start().await;
    site.advance(10 + 3600).await;
    assert_eq!(site.texts().len(), 7, "every ten minutes");
    site.chat.answer(Answer::raw(200, "text/plain", "ok"));
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 8);
}

#[tokio::test]
async fn a_good_status_is_a_delivery_whatever_the_body_is() {
    let mut site = Site::new().await;
    site.chat.answer(Answer::raw(200, "text/html", vec![b'<'; 20_000_000]));
    site.die("sync", 1).await;
    site.jump(60);
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 1);
}

#[tokio::test]
async fn nobody_is_called_by_the_text_of_an_error() {
    let mut site = Site::new().await;
    site.chat.answer(Answer::ok(json!({ "ok": true })));
    site.die_of("sync", 1, DeadReason::Failed, "crm said <!channel> & more").await;
    site.jump(60);
    site.start().await;
    let texts = site.texts();
    assert!(texts[0].contains("`crm said &lt;!channel&gt; &amp; more`"), "{}", texts[0]);
}

#[tokio::test]
async fn an_idle_store_is_looked_at_four_times_a_minute() {
    let mut site = Site::new().await;
    site.start().await;
    for _ in 0..8 {
        assert_eq!(site.nap_seconds(), 15);
        site.advance(15).await;
    }
    site.die("sync", 1).await;
    site.advance(15).await;
    assert_eq!(site.nap_seconds(), 15, "told at once: it is 15 s old");
    site.die("sync", 1).await;
    site.advance(15).await;
    assert_eq!(site.nap_seconds(), 285, "not one look until the next message may go");
    assert_eq!(site.texts().len(), 1);
}

#[tokio::test]
async fn a_shutdown_is_prompt_and_lets_a_message_under_way_end() {
    let mut site = Site::new().await;
    site.start().await;
    site.stop().await;

    site.die("sync", 1).await;
    site.jump(60);
    site.chat
        .when(Match::any())
        .times(1)
        .answer(Answer::ok(json!({})).after(std::time::Duration::from_millis(300)));
    site.launch();
    site.chat.wait_for(1).await;
    site.ask_to_stop().await.unwrap();
    site.start().await;
    site.advance(60).await;
    assert_eq!(site.texts().len(), 1, "it ended, and was noted");
}

#[tokio::test]
async fn a_shutdown_waits_two_seconds_for_a_hook_that_hangs() {
    let mut site = Site::new().await;
    site.die("sync", 1).await;
    site.jump(60);
    site.chat.when(Match::any()).times(1).answer(Answer::hang());
    site.launch();
    site.chat.wait_for(1).await;
    let task = site.ask_to_stop();
    site.settle().await;
    assert_eq!(site.nap_seconds(), 2);
    site.jump(2);
    task.await.unwrap();
    site.start().await;
    assert_eq!(site.texts().len(), 2, "nobody knows whether it arrived: told again");
}

#[tokio::test]
async fn a_message_that_cannot_be_noted_is_not_repeated_and_is_noted_when_there_is_room() {
    let mut site = Site::new().await;
    site.die("sync", 3).await;
    site.jump(60);
    site.store.set_full(true);
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 1, "told once, though it could not be noted");
    site.store.set_full(false);
    let again = site.die("sync", 1).await;
    site.store.set_full(true);
    site.advance(60).await;
    assert_eq!(site.texts().len(), 2, "a full disk keeps nobody from being told");
    site.store.set_full(false);
    site.advance(60).await;
    site.crash().await;
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 2, "noted meanwhile");
    assert!(site.texts()[1].contains(&format!("run {}\n", again[0])), "{:?}", site.texts());
}

#[tokio::test]
async fn a_crash_before_a_message_could_be_noted_repeats_it_once() {
    let mut site = Site::new().await;
    site.die("sync", 3).await;
    site.jump(60);
    site.store.set_full(true);
    site.start().await;
    site.crash().await;
    site.store.set_full(false);
    site.start().await;
    site.crash().await;
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 2);
}

#[tokio::test]
async fn a_hook_that_works_again_is_tried_soon_after_the_next_failure() {
    let mut site = Site::new().await;
    site.chat.fail_next(9, 500);
    site.die("sync", 1).await;
    site.jump(60);
    site.start().await;
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 10);
    site.chat.fail_next(1, 500);
    site.die("sync", 1).await;
    site.advance(16).await;
    assert_eq!(site.texts().len(), 12, "a second after the failure, not ten minutes");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_again_and_then_known() {
    let mut site = Site::new().await;
    let cursor = bowline_store::CursorMove { name: "alerts".into(), from: None, to: "{\"v\":7}".into() };
    let batch = bowline_store::Batch { cursor: Some(cursor), ..Default::default() };
    site.store.accept(batch).await.unwrap();
    site.die("sync", 1).await;
    site.jump(60);
    site.start().await;
    site.crash().await;
    site.start().await;
    assert_eq!(site.texts().len(), 1);
}

#[tokio::test]
async fn the_hooks_address_is_not_in_what_is_noted() {
    let mut site = Site::new().await;
    site.die("sync", 1).await;
    site.jump(60);
    site.start().await;
    assert!(site.chat.requests()[0].path.ends_with(HOOK_SECRET));
    let cursor = site.store.cursor("alerts").await.unwrap().unwrap();
    assert!(!cursor.contains(HOOK_SECRET), "{cursor}");
}
