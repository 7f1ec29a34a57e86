//! What is kept of one credential, and what that means now: decided purely.
//!
//! | Kept | Asked for | Plan |
//! |---|---|---|
//! | a good access token | – | use it |
//! | one that ends soon, or was refused | a grant that needs nobody | ask for another |
//! | one that ends soon, or was refused, and a refresh token | – | refresh |
//! | anything from another value of the seed's variable | a refresh token | refresh with the new value |
//! | nothing, or of another client or provider | a consent | somebody has to connect it |
//! | a refresh token that the provider no longer takes | – | somebody has to connect it again, or to set the variable |

use std::{fmt, time::Duration};

use bowline_model::Secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A token is renewed at most so long before its end …
const EARLY_MAX: Duration = Duration::from_secs(300);
/// … and at most this part of its life before it.
const EARLY_PART: u32 = 5;
/// A token that ends sooner than this would end on its way.
const USABLE_MIN: Duration = Duration::from_secs(5);

/// What is kept of one credential.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Hash of the provider, the client and what was asked for: a token of another is no token here.
    pub(crate) identity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub(crate) refresh: Option<Secret>,
    /// Hash of the variable's value that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<String>,
    /// When somebody gave consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connected_at: Option<Timestamp>,
    /// Set when the provider no longer takes the refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dead: Option<Death>,
}

/// An access token and its life.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(with = "exposed")]
    pub(crate) secret: Secret,
    pub(crate) issued_at: Timestamp,
    /// `None`: it is used until it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

/// Why and since when a credential is of no use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Death {
    pub(crate) why: String,
    pub(crate) at: Timestamp,
}

/// How good a token is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Good,
    /// Good still, and to be renewed.
    EndsSoon,
    Ended,
}

impl Token {
    pub(crate) fn life(&self, now: Timestamp) -> Life {
        let Some(end) = self.expires_at else { return Life::Good };
        let whole = Duration::try_from(end.duration_since(self.issued_at)).unwrap_or_default();
        let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
        if left < USABLE_MIN.min(whole / EARLY_PART) || left.is_zero() {
            Life::Ended
        } else if left <= EARLY_MAX.min(whole / EARLY_PART) {
            Life::EndsSoon
        } else {
            Life::Good
        }
    }
}

/// Where new tokens of a grant come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// The client proves itself each time.
    Asked,
    /// A refresh token that begins with a variable's value, whose hash this is.
    Seed(&'a str),
    /// A refresh token that begins with somebody's consent.
    Consent,
}

/// What to do next.
pub(crate) enum Plan {
    Use(Token),
    /// Ask for a token, with nothing but the client's own proof.
    Ask,
    /// Refresh with the value of the variable.
    RefreshSeed,
    /// Refresh with what is kept.
    Refresh(Secret),
    /// Nobody connected it.
    Missing,
    /// It is of no use any more.
    Dead(String),
}

/// What to do about a credential of that identity. `refused`: the access token that is kept was.
pub(crate) fn plan(
    record: Option<&Record>,
    identity: &str,
    source: Source<'_>,
    refused: bool,
    now: Timestamp,
) -> Plan {
    let record = record.filter(|record| record.identity == identity);
    let good = |record: &Record| {
        record.access.clone().filter(|access| !refused && access.life(now) == Life::Good).map(Plan::Use)
    };
    match (source, record) {
        (Source::Asked, record) => record.and_then(good).unwrap_or(Plan::Ask),
        (Source::Seed(seed), Some(record)) if record.seed.as_deref() != Some(seed) => Plan::RefreshSeed,
        (Source::Seed(_), None) => Plan::RefreshSeed,
        (Source::Consent, None) => Plan::Missing,
        (Source::Seed(_) | Source::Consent, Some(record)) => {
            if let Some(death) = &record.dead {
                return Plan::Dead(death.why.clone());
            }
            good(record).unwrap_or_else(|| match &record.refresh {
                Some(refresh) => Plan::Refresh(refresh.clone()),
                None => still_good(record, refused, now)
                    .unwrap_or_else(|| Plan::Dead("it ended, and the provider gave no refresh token".into())),
            })
        }
    }
}

/// Without a refresh token the old one serves to its very end.
fn still_good(record: &Record, refused: bool, now: Timestamp) -> Option<Plan> {
    let access = record.access.clone().filter(|access| !refused && access.life(now) != Life::Ended);
    access.map(Plan::Use)
}

/// Shows what is there, not what it is.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("access", &self.access.is_some())
            .field("refresh", &self.refresh.is_some())
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

/// A secret as it is: only for what is sealed at once.
mod exposed {
    use bowline_model::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// As [`exposed`], where there may be none.
mod optional {
    use bowline_model::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the signature serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(expires_at: Option<i64>) -> Token {
        Token { secret: Secret::new("access-1"), issued_at: at(0), expires_at: expires_at.map(at) }
    }

    fn record() -> Record {
        Record {
            identity: "crm".into(),
            access: Some(token(Some(3600))),
            refresh: Some(Secret::new("refresh-1")),
            seed: Some("seed-1".into()),
            connected_at: None,
            dead: None,
        }
    }

    fn planned(record: Option<&Record>, source: Source<'_>, refused: bool, now: i64) -> String {
        match plan(record, "crm", source, refused, at(now)) {
            Plan::Use(token) => format!("use {}", token.secret.expose()),
            Plan::Ask => "ask".into(),
            Plan::RefreshSeed => "refresh with the seed".into(),
            Plan::Refresh(secret) => format!("refresh {}", secret.expose()),
            Plan::Missing => "missing".into(),
            Plan::Dead(why) => format!("dead: {why}"),
        }
    }

    #[test]
    fn a_token_is_renewed_five_minutes_or_a_fifth_of_its_life_early() {
        for (lifetime, soon, ended) in [(3600, 3300, 3596), (600, 480, 596), (60, 48, 56), (10, 8, 9)] {
            let token = token(Some(lifetime));
            assert_eq!(token.life(at(soon - 1)), Life::Good, "{lifetime}");
            assert_eq!(token.life(at(soon)), Life::EndsSoon, "{lifetime}");
            assert_eq!(token.life(at(ended)), Life::Ended, "{lifetime}");
        }
        assert_eq!(token(None).life(at(1 << 37)), Life::Good, "used until it is refused");
        assert_eq!(token(Some(0)).life(at(0)), Life::Ended);
    }

    #[test]
    fn what_is_kept_decides_what_is_done() {
        let kept = record();
        for source in [Source::Asked, Source::Seed("seed-1"), Source::Consent] {
            assert_eq!(planned(Some(&kept), source, false, 100), "use access-1");
        }
        for (refused, now) in [(true, 100), (false, 3400)] {
            assert_eq!(planned(Some(&kept), Source::Asked, refused, now), "ask");
            assert_eq!(planned(Some(&kept), Source::Seed("seed-1"), refused, now), "refresh refresh-1");
            assert_eq!(planned(Some(&kept), Source::Consent, refused, now), "refresh refresh-1");
        }
        assert_eq!(planned(None, Source::Asked, false, 0), "ask");
        assert_eq!(planned(None, Source::Seed("seed-1"), false, 0), "refresh with the seed");
        assert_eq!(planned(None, Source::Consent, false, 0), "missing");
    }

    #[test]
    fn a_new_seed_wins_over_a_good_token_and_over_a_dead_one() {
        let mut kept = record();
        assert_eq!(planned(Some(&kept), Source::Seed("seed-2"), false, 100), "refresh with the seed");
        kept.dead = Some(Death { why: "invalid_grant".into(), at: at(50) });
        assert_eq!(planned(Some(&kept), Source::Seed("seed-1"), false, 100), "dead: invalid_grant");
        assert_eq!(planned(Some(&kept), Source::Seed("seed-2"), false, 100), "refresh with the seed");
    }

    #[test]
    fn a_token_of_another_client_is_none() {
        let mut kept = record();
        kept.identity = "another".into();
        assert_eq!(planned(Some(&kept), Source::Asked, false, 100), "ask");
        assert_eq!(planned(Some(&kept), Source::Seed("seed-1"), false, 100), "refresh with the seed");
        assert_eq!(planned(Some(&kept), Source::Consent, false, 100), "missing");
    }

    #[test]
    fn without_a_refresh_token_the_last_one_serves_to_its_end() {
        let mut kept = record();
        kept.refresh = None;
        assert_eq!(planned(Some(&kept), Source::Consent, false, 3400), "use access-1");
        let ended = "dead: it ended, and the provider gave no refresh token";
        assert_eq!(planned(Some(&kept), Source::Consent, false, 3599), ended);
        assert_eq!(planned(Some(&kept), Source::Consent, true, 100), ended);
    }

    #[test]
    fn is_equal_after_the_disk_and_never_printed() {
        let mut kept = record();
        kept.dead = Some(Death { why: "gone".into(), at: at(1) });
        let text = serde_json::to_string(&kept).unwrap();
        let again: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert!(text.contains("refresh-1") && !format!("{kept:?}").contains("refresh-1"));
    }
}
