//! The text of a message, in the form of Slack's incoming webhooks (mrkdwn).
//!
//! What must never be here: text of others that calls people (`<!channel>`, `@everyone`), becomes a link, or breaks out
//! of its place.

use bowline_model::RunId;

use super::news::{Group, News, RUNS_NAMED_MAX};

/// Longest text. Discord refuses more than 2,000 characters, and has the smallest limit.
pub const TEXT_CHARS_MAX: usize = 1900;
/// How much of a summary a message shows.
const SUMMARY_CHARS_MAX: usize = 160;
/// How much of a name a message shows.
pub(super) const NAME_CHARS_MAX: usize = 40;
/// A longer address is left out.
pub(super) const LINK_CHARS_MAX: usize = 300;

/// Tells the news of that app, in at most [`TEXT_CHARS_MAX`] characters.
pub(super) fn message(app: &str, admin_url: Option<&str>, news: &News) -> String {
    let head = head(app, news);
    let advice = advice(app) + &link(admin_url, news);
    let room = TEXT_CHARS_MAX.saturating_sub(chars(&head) + chars(&advice));
    head + &body(&news.groups(), room) + &advice
}

/// As many groups as there is room for, and how many dead letters are in the others.
fn body(groups: &[&Group], room: usize) -> String {
    let mut body = String::new();
    let mut left = room;
    for (at, group) in groups.iter().enumerate() {
        let after = match &groups[at + 1..] {
            [] => 0,
            others => chars(&rest_line(others)),
        };
        let (line, example) = (group_line(group), example_line(group));
        if chars(&line) + chars(&example) + after <= left {
            left -= chars(&line) + chars(&example);
            body.extend([line, example]);
        } else if chars(&line) + after <= left {
            left -= chars(&line);
            body.push_str(&line);
        } else {
            body.push_str(&rest_line(&groups[at..]));
            break;
        }
    }
    body
}

fn head(app: &str, news: &News) -> String {
    let app = plain(app, NAME_CHARS_MAX);
    let letters = if news.new == 1 { "dead letter" } else { "dead letters" };
    if news.dead > news.new {
        format!("*{app}*: {} more {letters}, {} in all\n", news.new, news.dead)
    } else {
        format!("*{app}*: {} new {letters}\n", news.new)
    }
}

/// `• stripe-to-crm, failed: 30 (runs 58, 57, …)`
fn group_line(group: &Group) -> String {
    let workflow = code(group.workflow.as_str(), NAME_CHARS_MAX);
    let reason = group.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    match group.runs.as_slice() {
        [run] => format!("• {workflow}{reason}: run {run}\n"),
        runs => format!("• {workflow}{reason}: {} (runs {})\n", group.count, numbers(runs, group.count)),
    }
}

/// What the last one says, under its group.
fn example_line(group: &Group) -> String {
    let summary = code(&group.summary, SUMMARY_CHARS_MAX);
    match (summary.as_str(), group.count) {
        ("", _) => String::new(),
        (_, 1) => format!("    {summary}\n"),
        (_, _) => format!("    the last: {summary}\n"),
    }
}

fn numbers(runs: &[RunId], count: u64) -> String {
    let named: Vec<String> = runs.iter().map(RunId::to_string).collect();
    let more = if count > RUNS_NAMED_MAX as u64 { ", …" } else { "" };
    named.join(", ") + more
}

fn rest_line(groups: &[&Group]) -> String {
    let count: u64 = groups.iter().map(|group| group.count).sum();
    format!("• {count} of other workflows or reasons\n")
}

fn advice(app: &str) -> String {
    let app = plain(&app.replace('`', "'"), NAME_CHARS_MAX);
    format!(
        "They wait for a person: see them with `{app} dead`, and once the cause is gone, continue them with \
         `{app} retry --all`."
    )
}

/// The page of the one run, or of all dead letters.
fn link(admin_url: Option<&str>, news: &News) -> String {
    let Some(base) = admin_url.filter(|url| chars(url) <= LINK_CHARS_MAX) else { return String::new() };
    let base = escaped(base.trim_end_matches('/'));
    match news.groups().as_slice() {
        [group] if group.count == 1 => format!("\n{base}/runs/{}", group.runs[0]),
        _ => format!("\n{base}/?state=dead"),
    }
}

/// Text of others in a line of its own font, where no markup holds: `` `step "create contact": …` ``.
pub(super) fn code(text: &str, chars_max: usize) -> String {
    let inner = plain(&text.replace('`', "'"), chars_max);
    if inner.is_empty() { inner } else { format!("`{inner}`") }
}

/// Text of others on one line, cut, and without a way to call people.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.extend(word.chars().filter(|c| !turns_text(*c)));
    }
    if chars(&words) > chars_max {
        words = words.chars().take(chars_max - 1).chain(['…']).collect();
    }
    escaped(&calm(&words))
}

/// Characters that change the direction of what follows.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Mattermost, Rocket.Chat and Discord call people at `@all` or `@everyone`: a gap that nobody sees prevents it. An `@`
/// within a word is an address, and calls nobody.
fn calm(text: &str) -> String {
    let mut calm = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        calm.push(c);
        if c == '@' && !in_word {
            calm.push('\u{200b}');
        }
        in_word = c.is_alphanumeric();
    }
    calm
}

/// The three characters of Slack's markup: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use bowline_model::{DeadReason, Run};

    use super::{
        super::{
            news::tests::{dead, look},
            told::Told,
        },
        *,
    };

    fn news(runs: &[Run]) -> News {
        look(runs, &Told::default()).news
    }

    fn says(summary: &str) -> Run {
        Run { summary: Some(summary.to_owned()), ..dead(17) }
    }

    #[test]
    fn tells_what_died_why_and_what_to_do() {
        let refund = |id| Run {
            workflow: "refund".into(),
            dead_reason: Some(DeadReason::Malformed),
            summary: Some("the event's body has nothing at /data/object".to_owned()),
            ..dead(id)
        };
        let mut runs = vec![refund(20), refund(19)];
        runs.extend((2..=9).rev().map(dead));
        assert_eq!(
            message("payments", Some("https://ops.example.com/"), &news(&runs)),
            "*payments*: 10 new dead letters\n\
             • `sync`, failed: 8 (runs 9, 8, 7, 6, 5, …)\n    \
             the last: `crm answered 422`\n\
             • `refund`, malformed: 2 (runs 20, 19)\n    \
             the last: `the event's body has nothing at /data/object`\n\
             They wait for a person: see them with `payments dead`, and once the cause is gone, continue them with \
             `payments retry --all`.\n\
             https://ops.example.com/?state=dead"
        );
    }

    #[test]
    fn one_dead_letter_is_linked_to_itself() {
        let text = message("payments", Some("https://ops.example.com/bowline/"), &news(&[dead(17)]));
        assert!(text.ends_with("\nhttps://ops.example.com/bowline/runs/17"), "{text}");
    }

    #[test]
    fn says_how_many_more_and_how_many_in_all() {
        let first = look(&[dead(3), dead(2)], &Told::default());
        let second = look(&[dead(4), dead(3), dead(2)], &first.told);
        let text = message("payments", None, &second.news);
        assert!(
            text.starts_with("*payments*: 1 more dead letter, 3 in all\n• `sync`, failed: run 4\n"),
            "{text}"
        );
    }

    #[test]
    fn nobody_is_called_by_what_a_remote_says() {
        let evil = "crm said <!channel> & <@U1> @everyone (@here) `*bold*` see <https://evil.example|this>";
        let text = message("payments", None, &news(&[says(evil)]));
        for call in ["<!", "<@", "<h", "@everyone", "@here"] {
            assert!(!text.contains(call), "{call} in {text}");
        }
        let line = "    `crm said &lt;!channel&gt; &amp; &lt;@\u{200b}U1&gt; @\u{200b}everyone (@\u{200b}here) '*bold*' \
                    see &lt;https://evil.example|this&gt;`\n";
        assert!(text.contains(line), "{text}");
        let text = message("payments", None, &news(&[says("no contact ada@example.com")]));
        assert!(text.contains("`no contact ada@example.com`"), "{text}");
    }

    #[test]
    fn a_summary_is_one_cut_line() {
        let text = message("payments", None, &news(&[says("one\r\n  two\u{0}\u{202e}three\t")]));
        assert!(text.contains("    `one two three`\n"), "{text}");
        let text = message("payments", None, &news(&[says(&"é".repeat(500))]));
        assert!(text.contains(&format!("    `{}…`\n", "é".repeat(159))), "{text}");
        let text = message("payments", None, &news(&[says(" \n")]));
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    /// What the lines of groups add up to.
    fn counted(text: &str) -> i64 {
        let groups = text.lines().filter_map(|line| line.strip_prefix("• "));
        groups.map(|group| group.split(' ').next().unwrap().parse().unwrap_or(1)).sum()
    }

    #[test]
    fn many_groups_are_summed_up_within_the_limit() {
        for names in [1, 2, 9, 10, 11, 50, 500] {
            let runs: Vec<Run> = (1..=names)
                .rev()
                .map(|n| Run {
                    workflow: format!("workflow-{n}-{}", "<".repeat(100)).as_str().into(),
                    summary: Some("&".repeat(400)),
                    ..dead(n)
                })
                .collect();
            let news = news(&runs);
            let url = format!("https://ops.example.com/{}", "a".repeat(250));
            let text = message(&"<".repeat(200), Some(&url), &news);
            assert!(text.chars().count() <= TEXT_CHARS_MAX, "{}: {text}", text.chars().count());
            assert!(text.contains("`workflow-1-"), "{text}");
            assert_eq!(counted(&text), names, "{text}");
        }
    }
}
