//! The text of a message of questions.

use super::super::message::{LINK_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX, chars, code, escaped, plain};
use crate::approvals::ApprovalView;

/// How much of a question a message shows, in characters.
const QUESTION_CHARS_MAX: usize = 300;

/// Tells these questions of that app, in at most [`TEXT_CHARS_MAX`] characters.
pub(super) fn message(app: &str, admin_url: Option<&str>, asked: &[ApprovalView]) -> String {
    let (head, advice) = (head(app, asked), advice(app, asked) + &link(admin_url));
    let mut left = TEXT_CHARS_MAX.saturating_sub(chars(&head) + chars(&advice));
    let mut body = String::new();
    for (at, view) in asked.iter().enumerate() {
        let others = asked.len() - at - 1;
        let after = if others == 0 { 0 } else { chars(&rest(others)) };
        let line = line(view);
        if chars(&line) + after > left {
            body.push_str(&rest(others + 1));
            break;
        }
        left -= chars(&line);
        body.push_str(&line);
    }
    head + &body + &advice
}

fn head(app: &str, asked: &[ApprovalView]) -> String {
    let waits = match asked.len() {
        1 => "a run waits for an approval".to_owned(),
        many => format!("{many} runs wait for approvals"),
    };
    format!("*{}*: {waits}\n", plain(app, NAME_CHARS_MAX))
}

/// `• run 17, refund, asked of finance: Refund 900 EUR to C-17?`
fn line(view: &ApprovalView) -> String {
    let question = view.question.as_ref();
    let approver = question.and_then(|question| question.approver.as_deref());
    let approver =
        approver.map(|who| format!(", asked of {}", plain(who, NAME_CHARS_MAX))).unwrap_or_default();
    let words = match question {
        Some(question) => code(&question.question, QUESTION_CHARS_MAX),
        None => "its question cannot be read by this build".to_owned(),
    };
    let until = view
        .until
        .map(|until| format!(", until {}", until.strftime("%Y-%m-%d %H:%M UTC")))
        .unwrap_or_default();
    format!("• run {}, {}{approver}{until}\n    {words}\n", view.run, code(&view.name, NAME_CHARS_MAX))
}

fn rest(others: usize) -> String {
    format!("• {others} more\n")
}

fn advice(app: &str, asked: &[ApprovalView]) -> String {
    let app = plain(&app.replace('`', "'"), NAME_CHARS_MAX);
    match asked {
        [only] => format!("Answer with `{app} approve {0}` or `{app} reject {0}`.", only.run),
        _ => {
            format!("See them with `{app} approvals`; answer with `{app} approve RUN` or `{app} reject RUN`.")
        }
    }
}

fn link(admin_url: Option<&str>) -> String {
    let base = admin_url.filter(|url| chars(url) <= LINK_CHARS_MAX);
    base.map(|base| format!("\n{}/approvals", escaped(base.trim_end_matches('/')))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bowline_model::{RunId, approval::Question};
    use jiff::Timestamp;

    use super::*;

    fn view(run: i64, question: Question) -> ApprovalView {
        ApprovalView {
            run: RunId(run),
            workflow: "refund".into(),
            name: "refund".to_owned(),
            question: Some(question),
            since: Timestamp::UNIX_EPOCH,
            until: None,
        }
    }

    #[test]
    fn says_who_is_asked_what_and_how_to_answer() {
        let mut asked = view(17, Question::new("Refund 900 EUR to C-17?").approver("finance"));
        asked.until = Some(Timestamp::constant(1_795_341_600, 0));
        assert_eq!(
            message("shop", Some("https://ops.example.com/"), &[asked]),
            "*shop*: a run waits for an approval\n\
             • run 17, `refund`, asked of finance, until 2026-11-22 10:00 UTC\n    \
             `Refund 900 EUR to C-17?`\n\
             Answer with `shop approve 17` or `shop reject 17`.\n\
             https://ops.example.com/approvals"
        );
    }

    #[test]
    fn many_are_summed_up_within_the_limit_and_call_nobody() {
        let asked: Vec<_> = (1..=50)
            .map(|run| view(run, Question::new("<!channel> ".repeat(200)).approver("@everyone")))
            .collect();
        let text = message("shop", None, &asked);
        assert!(text.chars().count() <= TEXT_CHARS_MAX, "{}", text.chars().count());
        assert!(text.starts_with("*shop*: 50 runs wait for approvals\n"), "{text}");
        assert!(text.contains(" more\nSee them with `shop approvals`;"), "{text}");
        assert!(!text.contains("<!") && !text.contains("@everyone"), "{text}");
    }
}
