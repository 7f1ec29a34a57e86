//! A real browser: Chromium, spoken to over a pipe in its DevTools protocol.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long one answer may take: a cold start on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Messages that wait to be read; Chromium waits then.
const MESSAGES_MAX: usize = 1000;

/// How many things on a page may come before the one that is looked for.
const TABS_MAX: usize = 50;

/// Requests that are remembered.
const REQUESTS_MAX: usize = 100;

/// The pipe of the protocol is descriptors 3 (to Chromium) and 4 (from it); a shell makes them of what it was given.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#;

/// Chromium with one page.
pub(crate) struct Chromium {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What the page's console was told, and what the browser complained about.
    pub(crate) complaints: Vec<String>,
    loaded: bool,
    /// Where the page is.
    pub(crate) at: String,
    /// What was asked for, the page's own requests among it: the latest first.
    pub(crate) requested: Vec<String>,
    _profile: TempDir,
}

/// The browser that `BOWLINE_CHROMIUM` names, else `chromium` on the path, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("BOWLINE_CHROMIUM") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join("chromium")).find(|program| program.exists())
}

impl Chromium {
    pub(crate) fn start(program: PathBuf) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", START])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let mut pipe = BufReader::new(process.stdout.take().unwrap());
        let (sender, from) = sync_channel(MESSAGES_MAX);
        // Ends with the process, whose pipe it reads.
        thread::spawn(move || {
            let mut message = vec![];
            while pipe.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut chromium = Self {
            process,
            to,
            from,
            last_id: 0,
            session: None,
            complaints: vec![],
            loaded: false,
            at: String::new(),
            requested: vec![],
            _profile: profile,
        };
        chromium.attach();
        chromium
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// The size of the window, and the colours that its user prefers.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Loads that page, with all that belongs to it.
    pub(crate) fn load(&mut self, url: &str) {
        self.loaded = false;
        let went = self.call("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        while !self.loaded {
            let message = self.receive();
            self.hear(&message);
        }
    }

    /// Does something in the page that leads to another one, and waits until one at that address is there.
    pub(crate) fn go(&mut self, expression: &str, to: &str) {
        self.loaded = false;
        self.ask(expression);
        self.wait_for(to);
    }

    fn wait_for(&mut self, to: &str) {
        while !(self.loaded && self.at.starts_with(to)) {
            let message = self.receive();
            self.hear(&message);
        }
    }

    /// What a person reads on the page.
    pub(crate) fn text(&mut self) -> String {
        self.ask("document.body.innerText").as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The value of that expression in the page.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Presses the Tab key.
    pub(crate) fn tab(&mut self) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            self.call("Input.dispatchKeyEvent", key);
        }
    }

    /// Presses the Tab key until what has that text is in focus.
    pub(crate) fn tab_to(&mut self, text: &str) {
        let mut reached = vec![];
        while reached.last() != Some(&json!(text)) {
            assert!(reached.len() < TABS_MAX, "{text}: {reached:?}");
            self.tab();
            reached.push(self.ask("document.activeElement.textContent.trim()"));
        }
    }

    /// Presses the Enter key, and waits until a page at that address is there.
    pub(crate) fn enter(&mut self, to: &str) {
        self.loaded = false;
        let key = |kind| json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", key(kind));
        }
        self.wait_for(to);
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("chromium listens");
        loop {
            let mut answer = self.receive();
            if answer["id"] == json!(self.last_id) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.hear(&answer);
        }
    }

    fn receive(&self) -> Value {
        self.from.recv_timeout(ANSWER_WITHIN).expect("chromium answers")
    }

    fn hear(&mut self, event: &Value) {
        match event["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Page.frameNavigated") if event["params"]["frame"]["parentId"].is_null() => {
                self.loaded = false;
                self.at = event["params"]["frame"]["url"].as_str().unwrap_or_default().to_owned();
            }
            Some("Network.requestWillBeSent") => {
                self.requested.truncate(REQUESTS_MAX - 1);
                self.requested
                    .insert(0, event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some(
                "Log.entryAdded"
                | "Runtime.consoleAPICalled"
                | "Runtime.exceptionThrown"
                | "Network.loadingFailed",
            ) => {
                self.complaints.push(event["params"].to_string());
            }
            Some(_) | None => {}
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
