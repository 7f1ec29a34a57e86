//! A stand-in for the CRM: it creates contacts, has its moods, and never deduplicates.
//!
//! | Contact | What it does |
//! |---|---|
//! | `grace@…` | fails twice under each idempotency key: 503, then 503 with `Retry-After: 1` |
//! | `charles@…` | refuses the first request for good (422), and creates the contact from then on |
//! | `alan@…` | answers the first request under each key 503 with `Retry-After: 60` |
//! | any other | creates the contact |
//!
//! Each request is in its file before it is answered: a CRM does not forget when an app is killed.

use std::{
    collections::HashSet,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bowline_testing::{Answer, Match, MockSystem, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Result,
    screen::{Tone, paint, say_as},
};

/// How long Alan's contact has to wait, in seconds; `QUICKSTART_WAIT_S` says otherwise.
const WAIT_S: u32 = 60;

/// One request for a contact.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    email: String,
    key: String,
    status: u16,
}

/// The CRM. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Crm {
    _system: MockSystem,
    ledger: Arc<Mutex<Ledger>>,
    wait_s: u32,
}

#[derive(Debug)]
struct Ledger {
    asked: Vec<Asked>,
    file: File,
}

/// What the CRM saw of one contact.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) keys: usize,
    pub(crate) created: usize,
}

impl Crm {
    /// Starts it where the app looks for it; what it was asked before is in that file.
    pub(crate) fn start(file: &Path) -> Result<Self> {
        let url = env::var("CRM_BASE_URL")?;
        let port = url.rsplit(':').next().unwrap_or_default().parse()?;
        let api_key = env::var("CRM_API_KEY")?;
        let wait_s = env::var("QUICKSTART_WAIT_S").ok().and_then(|text| text.parse().ok()).unwrap_or(WAIT_S);
        let ledger = Arc::new(Mutex::new(Ledger::open(file)?));
        let system = MockSystem::on_port(port)?;
        system.answer(Answer::json(404, json!({ "error": "no such page" })));
        let shared = ledger.clone();
        system
            .when(Match::call("POST", "/api/contacts").and(Match::header("x-api-key", &api_key)))
            .answer_with(move |request| {
                let mut ledger = shared.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.answer(request, wait_s)
            });
        Ok(Self { _system: system, ledger, wait_s })
    }

    /// How long Alan's contact has to wait, in seconds.
    pub(crate) fn wait_s(&self) -> u32 {
        self.wait_s
    }

    /// What it saw of that contact.
    pub(crate) fn tally(&self, email: &str) -> Tally {
        let ledger = self.lock();
        let asked: Vec<_> = ledger.asked.iter().filter(|asked| asked.email == email).collect();
        Tally {
            requests: asked.len(),
            keys: asked.iter().map(|asked| &asked.key).collect::<HashSet<_>>().len(),
            created: asked.iter().filter(|asked| asked.status == 201).count(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn open(path: &Path) -> Result<Self> {
        let mut text = fs::read_to_string(path).unwrap_or_default();
        // A line that a kill cut off was never answered.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        let asked = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        fs::write(path, text)?;
        Ok(Self { asked, file: OpenOptions::new().append(true).open(path)? })
    }

    fn answer(&mut self, request: &Recorded, wait_s: u32) -> Answer {
        let text = |pointer| {
            request.pointer(pointer).and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
        };
        let (email, name) = (text("/email"), text("/name"));
        let key = request.idempotency_key().unwrap_or_default().to_owned();
        let under_key = self.asked.iter().filter(|asked| asked.key == key).count();
        let under_email = self.asked.iter().filter(|asked| asked.email == email).count();
        let id = self.asked.iter().filter(|asked| asked.status == 201).count() + 1;
        let (status, answer) = match (email.split('@').next(), under_key, under_email) {
            (Some("grace"), 0, _) => (503, unavailable()),
            (Some("grace"), 1, _) => (503, unavailable().header("retry-after", "1")),
            (Some("alan"), 0, _) => (503, unavailable().header("retry-after", &wait_s.to_string())),
            (Some("charles"), _, 0) => {
                (422, Answer::json(422, json!({ "error": "this contact is blocked" })))
            }
            _ => (201, Answer::json(201, json!({ "id": id, "email": email }))),
        };
        tell(&name, &key, under_key, status);
        let asked = Asked { email, key, status };
        self.write(&asked);
        self.asked.push(asked);
        answer
    }

    fn write(&mut self, asked: &Asked) {
        let line = serde_json::to_string(asked).expect("strings and a number are JSON");
        // Without its file it forgets at a kill; the story then says what is not as told.
        let _ = self.file.write_all(format!("{line}\n").as_bytes());
    }
}

fn unavailable() -> Answer {
    Answer::json(503, json!({ "error": "down for a moment" }))
}

fn tell(name: &str, key: &str, before: usize, status: u16) {
    let key = key.get(..8).unwrap_or(key);
    let again = if before > 0 { ", the same again" } else { "" };
    let tone = if status < 300 { Tone::Good } else { Tone::Bad };
    let answer = paint(tone, format!("{status}"));
    let key = paint(Tone::Dim, format!("Idempotency-Key {key}…{again}"));
    say_as("CRM", format!("← {name}: {answer}  {key}"));
}
