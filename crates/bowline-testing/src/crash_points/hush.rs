//! Panics that are findings: caught and told once, not printed at every crash point.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static HUSHED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `run` yields, or its panic's message with its place. On this thread the panic is not printed.
pub(super) fn hushed<T>(run: impl FnOnce() -> Result<T, Box<dyn Any + Send>>) -> Result<T, String> {
    install();
    HUSHED.set(true);
    let result = run();
    HUSHED.set(false);
    result.map_err(|panic| {
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "a panic without a message".to_owned(),
        };
        match PLACE.take() {
            Some(place) => format!("{place}: {message}"),
            None => message,
        }
    })
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if HUSHED.get() {
                PLACE.set(panic.location().map(|at| format!("{}:{}", at.file(), at.line())));
            } else {
                print(panic);
            }
        }));
    });
}
