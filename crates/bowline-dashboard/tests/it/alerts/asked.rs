//! What people are told of approvals: a real store, a real hook, and a clock that moves when told.

use bowline_model::approval::Question;
use bowline_testing::{Answer, Match};

use super::site::Site;

fn question() -> Question {
    Question::new("Refund 900 EUR to C-17?").approver("finance")
}

#[tokio::test]
async fn a_question_is_told_once_with_who_is_asked_and_where_to_answer() {
    let mut site = Site::new().await;
    site.start_asked().await;
    let run = site.ask(&question()).await;
    site.advance(20).await;
    assert_eq!(
        site.texts(),
        [format!(
            "*shop*: a run waits for an approval\n\
             • run {run}, `refund`, asked of finance\n    `Refund 900 EUR to C-17?`\n\
             Answer with `shop approve {run}` or `shop reject {run}`.\n\
             https://ops.example.com/approvals"
        )]
    );
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 1, "nobody is told twice");
}

#[tokio::test]
async fn a_restart_tells_no_question_twice_and_misses_none() {
    let mut site = Site::new().await;
    site.start_asked().await;
    site.ask(&question()).await;
    site.advance(20).await;
    site.crash().await;
    let meanwhile = site.ask(&Question::new("And to C-18?")).await;
    site.start_asked().await;
    site.advance(120).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(texts[1].contains(&format!("• run {meanwhile}, ")), "{texts:#?}");
    assert!(!texts[1].contains("C-17"), "{texts:#?}");
}

#[tokio::test]
async fn questions_that_come_together_are_one_message_and_an_answered_one_is_not_told() {
    let mut site = Site::new().await;
    site.start_asked().await;
    let first = site.ask(&question()).await;
    for _ in 0..3 {
        site.ask(&question()).await;
    }
    site.approve(first).await;
    site.advance(20).await;
    let texts = site.texts();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts[0].starts_with("*shop*: 3 runs wait for approvals\n"), "{texts:#?}");
    assert!(!texts[0].contains(&format!("• run {first}, ")), "{texts:#?}");
}

#[tokio::test]
async fn a_chat_that_is_down_is_told_when_it_is_back() {
    let mut site = Site::new().await;
    site.chat.when(Match::any()).times(1).answer(Answer::status(503));
    site.start_asked().await;
    site.ask(&question()).await;
    site.advance(30).await;
    assert_eq!(site.texts().len(), 2, "the one that failed, and the one that went");
    site.advance(3600).await;
    assert_eq!(site.texts().len(), 2);
}
