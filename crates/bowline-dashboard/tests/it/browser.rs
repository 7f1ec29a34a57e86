//! The pages in a real browser: they fit the screen, can be read, and load nothing that they may not.

use bowline_model::AlertKind;
use bowline_store::Transition;
use serde_json::{Value, json};

use crate::{
    chromium::{self, Chromium},
    connections, hostile,
    server::Server,
    standing, triggers,
};

/// A desk's screen and a telephone's.
pub(crate) const SCREENS: [(u32, u32); 2] = [(1280, 800), (390, 844)];

/// What reaches over the edge of the window, or of the box that it stands in.
const OVERFLOWS: &str = "(() => {
    const wide = document.documentElement.clientWidth;
    const found = [];
    if (document.documentElement.scrollWidth > wide) found.push('the page scrolls sideways');
    for (const element of document.body.querySelectorAll('*')) {
        const box = element.getBoundingClientRect();
        if (box.width < 2 || element.closest('.hidden, .skip')) continue;
        const name = element.tagName + '.' + (element.getAttribute('class') || '');
        if (box.right > wide + 1 || box.left < -1) found.push(name + ' leaves the window');
        if (element.clientWidth && element.scrollWidth > element.clientWidth + 1) found.push(name + ' is too narrow');
    }
    return found.slice(0, 10);
})()";

/// Text whose contrast with what is behind it is below 4.5 (WCAG 2.2, 1.4.3).
const FAINT: &str = "(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = colour => {
        const [r, g, b] = [...rgba(colour)].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (rgba(colour)[3] === 255) return colour;
        }
        return 'white';
    };
    const found = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || element.closest('.hidden')) continue;
        const [fore, back] = [light(getComputedStyle(element).color), light(behind(element))];
        const ratio = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
        if (ratio < 4.5) found.add(element.tagName + '.' + element.className + ' ' + ratio.toFixed(2));
    }
    return [...found];
})()";

const OPEN_ALL: &str = "document.querySelectorAll('details').forEach(details => details.open = true)";

const FOCUSED: &str = "(() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return [at.textContent.trim(), style.outlineStyle, parseFloat(style.outlineWidth) >= 2, box.top >= 0 && box.left >= 0];
})()";

/// Chromium, or `None` if this machine has none.
pub(crate) fn start() -> Option<Chromium> {
    chromium::find().map(Chromium::start)
}

/// A server with runs of every kind, and the paths of all pages about them.
async fn full() -> (Server, Vec<String>) {
    let server = Server::start().await;
    let dead = hostile::dead(&server).await;
    let done = server
        .ended(
            "stripe-to-crm",
            "value now\n failed create: POST crm /c\n dropped slow\n unknown mail: POST mail /send\n done create: POST crm /c\n completed",
            Transition::Complete,
        )
        .await;
    let retried =
        server.dead("w", "refused create\n dead create\n retry 1\n unknown create\n dead create").await;
    let waiting = hostile::waiting(&server).await;
    let standing = standing::runs(&server).await;
    server.post(&format!("/api/runs/{retried}/discard"), "").await;
    for _ in 0..60 {
        server.accept("a-workflow-with-a-name-of-some-length").await;
    }
    let mut paths: Vec<_> =
        ["/", "/?follow=true", "/?state=dead", "/?state=running&workflow=none", "/nothing"]
            .map(str::to_owned)
            .to_vec();
    let before =
        server.browse("/").await.text.split("before=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    paths.push(format!("/?before={before}"));
    paths.extend(["/workflows", "/pause?workflow=held", "/pause?workflow=w"].map(str::to_owned));
    paths.extend([format!("/fork?run={done}&from=mail"), format!("/fork?run={dead}&from=paid")]);
    for run in [dead, done, retried, waiting].into_iter().chain(standing) {
        paths.extend([format!("/runs/{run}"), format!("/runs/{run}?payloads=true")]);
    }
    (server, paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_reads_and_loads_without_a_complaint() {
    let Some(mut chromium) = start() else {
        bowline_testing::skip!("every_page_fits_reads_and_loads_without_a_complaint", "there is no chromium");
    };
    let (server, paths) = full().await;
    let empty = Server::start().await;
    let pages = paths.iter().map(|path| format!("http://{}{path}", server.address));
    let connections = connections::Site::new().await;
    connections.raise(
        "xero/tenant-7",
        AlertKind::ConsentNeeded,
        "the provider said invalid_grant: give consent again",
    );
    connections.raise(&"crm".repeat(100), AlertKind::Unauthorized, &"answered_401".repeat(100));
    let about = ["/", "/connections"].map(|path| format!("http://{}{path}", connections.server.address));
    let triggers = triggers::site().await;
    let alone = [format!("http://{}/", empty.address), format!("http://{}/triggers", triggers.address)];
    let pages: Vec<_> = pages.chain(alone).chain(about).collect();
    // The browser waits for the server: both must run.
    tokio::task::block_in_place(|| {
        for (width, height) in SCREENS {
            for scheme in ["light", "dark"] {
                chromium.look(width, height, scheme);
                for page in &pages {
                    check(&mut chromium, page, &format!("{page} at {width} px, {scheme}"));
                }
            }
        }
    });
}

#[track_caller]
pub(crate) fn check(chromium: &mut Chromium, page: &str, at: &str) {
    chromium.load(page);
    chromium.ask(OPEN_ALL);
    assert_eq!(chromium.ask(OVERFLOWS), json!([]), "{at}");
    assert_eq!(chromium.ask(FAINT), json!([]), "{at}");
    let style = chromium.ask("getComputedStyle(document.body).fontVariantNumeric");
    assert_eq!(style, "tabular-nums", "the stylesheet was loaded: {at}");
    let mut complaints = std::mem::take(&mut chromium.complaints);
    if page.ends_with("/nothing") {
        // The one that is meant: the page is answered 404.
        complaints.retain(|complaint| !complaint.contains("404"));
    }
    assert_eq!(complaints, Vec::<String>::new(), "{at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_reaches_all_and_shows_where_it_is() {
    let Some(mut chromium) = start() else {
        bowline_testing::skip!("the_keyboard_reaches_all_and_shows_where_it_is", "there is no chromium");
    };
    let server = Server::start().await;
    server.dead("w", "dead").await;
    let page = format!("http://{}/", server.address);
    tokio::task::block_in_place(|| {
        chromium.look(390, 844, "light");
        chromium.load(&page);
        let mut reached: Vec<Value> = vec![];
        for _ in 0..16 {
            chromium.tab();
            let focused = chromium.ask(FOCUSED);
            assert_eq!(
                focused.as_array().unwrap()[1..],
                [json!("solid"), json!(true), json!(true)],
                "{focused}"
            );
            reached.push(focused[0].clone());
        }
        assert_eq!(reached[..4], ["To the content", "Bowline", "Refresh", "Follow"]);
        for expect in ["1✗dead", "Filter", "1", "w"] {
            assert!(
                reached.iter().any(|text| text.as_str().unwrap().replace(['\n', ' '], "") == expect),
                "{expect}: {reached:?}"
            );
        }
    });
}
