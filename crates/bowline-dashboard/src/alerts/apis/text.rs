//! The text of a message of Apis and triggers.

use std::collections::BTreeSet;

use super::{
    super::message::{LINK_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX, chars, code, escaped, plain},
    board::Story,
};
use crate::wording;

/// How much of what a call said a message shows.
const MESSAGE_CHARS_MAX: usize = 300;

/// Tells these stories of that app, in at most [`TEXT_CHARS_MAX`] characters.
pub(super) fn message(app: &str, admin_url: Option<&str>, stories: &[Story]) -> String {
    let (head, link) = (head(app, stories), link(admin_url, stories));
    let mut left = TEXT_CHARS_MAX.saturating_sub(chars(&head) + chars(&link));
    let mut body = String::new();
    for (at, story) in stories.iter().enumerate() {
        let others = stories.len() - at - 1;
        let after = if others == 0 { 0 } else { chars(&rest(others)) };
        let (line, said) = (line(story), said(story));
        if chars(&line) + chars(&said) + after <= left {
            left -= chars(&line) + chars(&said);
            body.extend([line, said]);
        } else if chars(&line) + after <= left {
            left -= chars(&line);
            body.push_str(&line);
        } else {
            body.push_str(&rest(others + 1));
            break;
        }
    }
    head + body.trim_end() + &link
}

fn head(app: &str, stories: &[Story]) -> String {
    let named = |of_triggers: bool| -> usize {
        let those = stories.iter().filter(|story| story.is_of_trigger() == of_triggers);
        those.map(|story| story.api.as_str()).collect::<BTreeSet<_>>().len()
    };
    let (apis, triggers) = (named(false), named(true));
    let verb = if apis + triggers == 1 { "needs" } else { "need" };
    let who = [some(apis, "an Api", "Apis"), some(triggers, "a trigger", "triggers")];
    let who: Vec<String> = who.into_iter().flatten().collect();
    format!("*{}*: {} {verb} a person\n", plain(app, NAME_CHARS_MAX), who.join(" and "))
}

fn some(count: usize, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(one.to_owned()),
        _ => Some(format!("{count} {many}")),
    }
}

/// `• crm: its credential is refused (401), 120 times in 3 min`
fn line(story: &Story) -> String {
    let api = code(&story.api, NAME_CHARS_MAX);
    let often = match story.count {
        1 => String::new(),
        // What it says tells how often.
        _ if story.is_of_trigger() => String::new(),
        count => format!(", {count} times in {}", wording::span_between(story.since, story.last)),
    };
    format!("• {api}: {}{often}\n", wording::trouble(story.kind))
}

fn said(story: &Story) -> String {
    match code(&story.message, MESSAGE_CHARS_MAX) {
        said if said.is_empty() => said,
        said => format!("    {said}\n"),
    }
}

fn rest(stories: usize) -> String {
    format!("• {stories} more\n")
}

/// The page that tells more: that of Apis, that of triggers, or the first one, which leads to both.
fn link(admin_url: Option<&str>, stories: &[Story]) -> String {
    let Some(base) = admin_url.filter(|url| chars(url) <= LINK_CHARS_MAX) else { return String::new() };
    let base = escaped(base.trim_end_matches('/'));
    let of_triggers = stories.iter().filter(|story| story.is_of_trigger()).count();
    match of_triggers {
        0 => format!("\n{base}/connections"),
        _ if of_triggers == stories.len() => format!("\n{base}/triggers"),
        _ => format!("\n{base}/"),
    }
}

#[cfg(test)]
mod tests {
    use bowline_model::AlertKind;

    use super::{
        super::board::{
            STORIES_MAX,
            tests::{at, board},
        },
        *,
    };

    fn stories(raised: &[(i64, &str, AlertKind)]) -> Vec<Story> {
        board(raised).due(at(200)).stories
    }

    #[test]
    fn tells_which_api_needs_what() {
        let told = stories(&[
            (0, "xero/acme", AlertKind::ConsentNeeded),
            (1, "crm", AlertKind::Unauthorized),
            (181, "crm", AlertKind::Unauthorized),
        ]);
        assert_eq!(
            message("payments", Some("https://ops.example.com/"), &told),
            "*payments*: 2 Apis need a person\n\
             • `crm`: its credential is refused (401), 2 times in 3 min 00 s\n    \
             `crm is unauthorized`\n\
             • `xero/acme`: it needs consent\n    \
             `xero/acme is consent_needed`\n\
             https://ops.example.com/connections"
        );
    }

    #[test]
    fn one_is_told_as_one_and_without_an_address_there_is_no_link() {
        let told = stories(&[(0, "crm", AlertKind::BreakerOpen), (1, "crm", AlertKind::Forbidden)]);
        let text = message("payments", None, &told);
        assert!(text.starts_with("*payments*: an Api needs a person\n• `crm`: "), "{text}");
        assert!(!text.contains("http") && !text.ends_with('\n'), "{text}");
    }

    #[test]
    fn triggers_are_told_of_with_apis_and_lead_to_their_own_page() {
        let (orders, refunds) = ("poll/new orders", "schedule/refunds");
        let failing = AlertKind::TriggerFailing;
        let url = Some("https://ops.example.com");
        assert_eq!(
            message("payments", url, &stories(&[(0, orders, failing), (30, orders, failing)])),
            "*payments*: a trigger needs a person\n\
             • `poll/new orders`: it fails again and again\n    \
             `poll/new orders is trigger_failing`\n\
             https://ops.example.com/triggers"
        );
        let crm = (0, "crm", AlertKind::Forbidden);
        let text = message("payments", url, &stories(&[(0, orders, failing), (0, refunds, failing), crm]));
        assert!(text.starts_with("*payments*: an Api and 2 triggers need a person\n"), "{text}");
        assert!(text.ends_with("\nhttps://ops.example.com/"), "{text}");
    }

    #[test]
    fn nobody_is_called_by_what_an_api_says() {
        let told = stories(&[(0, "<!channel> `x` @all", AlertKind::Forbidden)]);
        let text = message("payments", None, &told);
        assert!(!text.contains("<!") && !text.contains("@all"), "{text}");
    }

    #[test]
    fn many_stories_are_summed_up_within_the_limit() {
        let names: Vec<String> = (0..STORIES_MAX).map(|n| format!("{n:03}{}", "<&".repeat(100))).collect();
        let told: Vec<_> = names.iter().map(|name| (0, name.as_str(), AlertKind::Forbidden)).collect();
        let text = message(&"<".repeat(200), Some("https://ops.example.com"), &stories(&told));
        assert!(text.chars().count() <= TEXT_CHARS_MAX, "{}", text.chars().count());
        assert!(text.contains(" more\nhttps://ops"), "{text}");
    }
}
