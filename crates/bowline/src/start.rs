//! From the command line to what it asks for.

use std::{process::ExitCode, sync::Arc, time::Duration};

use bowline_engine::Rehearsal;
use bowline_ingress::{Provider, RawRequest, SignedRequest, providers::post};
use bowline_model::{Clock as _, RunState, SystemClock, Variables};
use http::HeaderMap;

use crate::{
    App, OpenError, OpenOptions, alerts,
    app::BuiltApp,
    build_id::build_id,
    cli::{self, Checked, CliContext, Error, journals, send::Unsigned},
    config::{Config, TLS_CERT_VARIABLE, TLS_KEY_VARIABLE},
    guard::PROXIES_VARIABLE,
    logs, server,
    setup::{TOKEN_KEY_FILE_VARIABLE, TOKEN_KEY_VARIABLE},
};

/// How long threads that block may take to end.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

/// What `App::main` does.
pub(crate) fn main<S: Send + Sync + 'static>(app: App<S>, variables: Variables) -> ExitCode {
    let args = match cli::parse(app.name(), app.version_text(), std::env::args_os()) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the machine has threads and descriptors for a runtime");
    let code = runtime.block_on(cli::run(context(app, &variables), args));
    // A thread that waits for a dead disk must not hold the process.
    runtime.shutdown_timeout(THREADS_END_MAX);
    code
}

/// What the commands need. The app's systems are built only for those that need them: `runs` works without the
/// variables that `serve` wants.
fn context<S: Send + Sync + 'static>(app: App<S>, variables: &Variables) -> CliContext {
    let config = Config::read(&quiet(variables));
    let app = Arc::new(app);
    let (served, checked, rehearsed, signed) = (app.clone(), app.clone(), app.clone(), app.clone());
    let (serve_variables, check_variables, rehearse_variables, sign_variables) =
        (variables.clone(), variables.clone(), variables.clone(), quiet(variables));
    CliContext {
        app: app.name().to_owned(),
        build: build_id(app.version_text()),
        rules: app.flow_rules(),
        clock: Arc::new(SystemClock),
        store: config.store.path,
        listen: config.listen,
        // Set is enough: who sends may not be allowed to read the key.
        scheme: if variables.get(TLS_CERT_VARIABLE).is_some() { "https" } else { "http" },
        admin: config.admin,
        serve: Box::new(move || Box::pin(async move { serve(&served, &serve_variables).await })),
        check: Box::new(move || check(&checked, &check_variables)),
        rehearse: Box::new(move || {
            let built = rehearsed.build(&OpenOptions::default().variables(rehearse_variables.clone()));
            refuse_problems(&rehearse_variables)?;
            Ok(rehearsal(&built))
        }),
        sign: Arc::new(move |event, body, now| sign(&signed, &sign_variables, event, body, now)),
    }
}

/// The same variables; what is found wrong with them there is not reported here.
fn quiet(variables: &Variables) -> Variables {
    let source = variables.clone();
    Variables::new(move |name| source.get(name))
}

async fn serve<S: Send + Sync + 'static>(app: &App<S>, variables: &Variables) -> cli::Result {
    let built = app.build(&OpenOptions::default().variables(variables.clone()));
    refuse_problems(variables)?;
    logs::init(&built.config);
    warn_of_choices(&built);
    if built.config.check_journals {
        refuse_misfits(&built).await?;
    }
    server::run(built).await.map_err(|error| Error::new(error.to_string()))
}

/// The build's workflows, for runs that are under way to meet.
fn rehearsal(app: &BuiltApp) -> Rehearsal {
    let (workflows, build) = (app.workflows.clone(), app.build.clone());
    Rehearsal::new(workflows, build, app.clock.clone(), &app.config.reached_at())
}

/// Nothing is begun while runs under way do not fit: the old build can go on with them.
async fn refuse_misfits(app: &BuiltApp) -> cli::Result {
    let states = [RunState::Queued, RunState::Running, RunState::Waiting];
    let store = &app.config.store.path;
    let fitted = journals::look(store, app.clock.clone(), &rehearsal(app), &states, None).await?;
    for misfit in &fitted.misfits {
        tracing::error!(run = %misfit.run, workflow = %misfit.workflow, "does not fit this build: {}", misfit.why);
    }
    match fitted.misfits() {
        0 => Ok(()),
        misfits => Err(journals::misfit(misfits)),
    }
}

/// Everything that is missing or wrong, at once.
fn refuse_problems(variables: &Variables) -> cli::Result {
    let problems = variables.problems();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(OpenError::Settings(problems).to_string())
        .hint("set it in the environment or in .env; `check` shows every setting"))
}

fn warn_of_choices(app: &BuiltApp) {
    if app.config.store.options.synchronous == bowline_store::sqlite::Synchronous::Off {
        tracing::warn!("BOWLINE_STORE says synchronous=off: a power cut loses acknowledged events");
    }
    for (path, variable) in &app.left_open {
        tracing::warn!(path, "this route is open to everybody: {variable} is not set");
    }
    if !app.config.admin.ip().is_loopback() {
        tracing::warn!(
            admin = %app.config.admin,
            "BOWLINE_ADMIN is not a loopback address: whoever reaches it is an operator, and there is no login"
        );
    }
}

fn check<S: Send + Sync + 'static>(app: &App<S>, variables: &Variables) -> Vec<Checked> {
    let built = app.build(&OpenOptions::default().variables(variables.clone()));
    let problems = variables.problems();
    let mut checked: Vec<Checked> = problems
        .iter()
        .map(|(name, what)| Checked { name: name.clone(), outcome: Err(what.clone()) })
        .collect();
    let mut fine = |name: &str, value: String| {
        if !problems.iter().any(|(wrong, _)| wrong == name) {
            checked.push(Checked { name: name.to_owned(), outcome: Ok(value) });
        }
    };
    for name in variables.found().iter().filter(|name| !name.starts_with("BOWLINE_")) {
        fine(name, "is set".to_owned());
    }
    fine("BOWLINE_LISTEN", built.config.listen.to_string());
    fine("BOWLINE_ADMIN", built.config.admin.to_string());
    if let Some(tls) = &built.config.tls {
        fine(TLS_CERT_VARIABLE, told_of_end(tls.ends(), SystemClock.now()));
        fine(TLS_KEY_VARIABLE, "is the certificate's key".to_owned());
    }
    if built.config.proxies.is_some() {
        fine(PROXIES_VARIABLE, "is set: clients are known, and limited".to_owned());
    }
    if built.config.alerts.hook.is_some() {
        fine(alerts::HOOK_VARIABLE, "is set".to_owned());
    }
    if let Some(url) = &built.config.alerts.admin_url {
        fine(alerts::ADMIN_URL_VARIABLE, url.clone());
    }
    for variable in [TOKEN_KEY_VARIABLE, TOKEN_KEY_FILE_VARIABLE] {
        if variables.get(variable).is_some() {
            fine(variable, "is set: tokens are sealed with it".to_owned());
        }
    }
    for connection in built.vault.connections() {
        let told = if connection.needs_consent {
            format!("connects by consent ({}): see /connections at the admin address", connection.grant)
        } else {
            format!("gets its tokens by {}", connection.grant)
        };
        fine(&format!("Api {}", connection.api), told);
    }
    fine("BOWLINE_STORE", format!("sqlite:{}", built.config.store.path.display()));
    for route in &built.routes {
        let open = built.left_open.iter().find(|(path, _)| path == route.path());
        let told = match (open, route.provider().name()) {
            (Some((_, variable)), _) => format!("open to everybody: {variable} is not set"),
            (None, "post") => "receives posts".to_owned(),
            (None, provider) => format!("receives webhooks of {provider}"),
        };
        fine(route.path(), told);
    }
    for schedule in app.schedules() {
        fine(&schedule.setting(), schedule.describe());
    }
    checked
}

fn told_of_end(ends: jiff::Timestamp, now: jiff::Timestamp) -> String {
    if ends <= now {
        format!("is a certificate that ended at {ends}: clients refuse it; renew it")
    } else {
        format!("is a certificate until {ends}")
    }
}

fn sign<S: Send + Sync + 'static>(
    app: &App<S>,
    variables: &Variables,
    event: &Unsigned<'_>,
    body: &[u8],
    now: jiff::Timestamp,
) -> cli::Result<SignedRequest> {
    let built = app.build(&OpenOptions::default().variables(variables.clone()));
    let Some(route) = built.routes.iter().find(|route| route.path() == event.path) else {
        refuse_problems(variables)?;
        let known: Vec<_> = built.routes.iter().map(|route| route.path()).collect();
        return Err(Error::new(format!(
            "this app has no webhook at {}; it has {}",
            event.path,
            known.join(", ")
        )));
    };
    let url = built.config.public_url.as_ref().map(|base| format!("{base}{}", event.path));
    let signed = sign_named(&**route.provider(), event, url.as_deref(), body, now)?;
    check_names(&**route.provider(), event, url.as_deref(), &signed)?;
    Ok(signed)
}

/// Under the names that were said. A provider that cannot sign without a type says it in a header.
fn sign_named(
    provider: &dyn Provider,
    event: &Unsigned<'_>,
    url: Option<&str>,
    body: &[u8],
    now: jiff::Timestamp,
) -> cli::Result<SignedRequest> {
    let unsigned = bowline_ingress::Unsigned { url, id: event.id, kind: event.kind, body };
    provider.sign(&unsigned, now).map_err(|error| match event.kind {
        Some(_) => Error::new(error.to_string()),
        None => Error::new(error.to_string()).hint("say it with --type, e.g. --type issues.opened"),
    })
}

/// Refuses names that the app would not read: they belong into the body, or are derived from it.
fn check_names(
    provider: &dyn Provider,
    event: &Unsigned<'_>,
    url: Option<&str>,
    signed: &SignedRequest,
) -> cli::Result {
    let headers: HeaderMap = signed.headers.iter().cloned().collect();
    // A body that is not valid is the door's to refuse, in its own words.
    let Ok(delivery) = provider.delivery(&RawRequest { url, ..RawRequest::post(&headers, &signed.body) })
    else {
        return Ok(());
    };
    let Some(read) = delivery.only() else { return Ok(()) };
    let differs = |what: &str, read: &str, said: &str| {
        let message = format!("the app would read {what} {read}, not {said}");
        let hint =
            format!("--{what} is for what the provider says in a header; the body says something else");
        Err(Error::new(message).hint(hint))
    };
    if let Some(kind) = event.kind
        // GitHub's header says `issues`, and the body adds what happened to them.
        && read.kind != kind
        && !read.kind.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'))
    {
        return differs("type", &read.kind, kind);
    }
    let read = read.id.as_deref().map_or("none", |id| id.strip_prefix(post::KEY_PREFIX).unwrap_or(id));
    match event.id {
        Some(id) if read != id => differs("id", read, id),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
