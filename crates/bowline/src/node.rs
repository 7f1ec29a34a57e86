//! What runs between the sockets and the store: door, engine, and what goes on beside the runs; begun in the order in which an
//! event needs them, and ended in the other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bowline_client::Vault;
use bowline_dashboard::{Admin, Commands, alerts::ApiAlerts, commands::Poke};
use bowline_engine::{Engine, EngineOptions};
use bowline_ingress::{Door, Intake, TriggerBoard, schedule::run_schedules};
use bowline_model::{BuildId, Clock, FlowRules, Progress, Recall};
use bowline_store::Store;
use reqwest::Url;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

use crate::{
    OpenError, alerts, app::BuiltApp, cancel, certificates::Certificates, housekeeping::tidy, schedule,
};

/// How long what goes on beside the runs (schedules, polls, inboxes, alerts, tidying) may take to stop.
const TASKS_END_MAX: Duration = Duration::from_secs(10);

/// Who closes the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Us,
    Another,
}

/// What runs between the sockets and the store.
pub(crate) struct Node {
    app: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) build: BuildId,
    pub(crate) engine: Arc<Engine>,
    pub(crate) door: Door,
    pub(crate) rules: FlowRules,
    pub(crate) board: TriggerBoard,
    vault: Vault,
    api_alerts: ApiAlerts,
    admin_url: Option<Url>,
    owner: Owner,
    stopping: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    pub(crate) async fn start(
        app: &BuiltApp,
        store: Arc<dyn Store>,
        owner: Owner,
    ) -> Result<Self, OpenError> {
        // Before anything runs: routes that do not go together must not leave an engine behind.
        bowline_ingress::route::check(&app.routes)?;
        // Before anything runs: the first call may need a token.
        app.vault.bind(store.clone().credentials());
        let recall: Arc<dyn Recall> = Arc::new(app.apis.clone());
        let options = EngineOptions {
            public_url: app.config.reached_at(),
            recall: Some(recall),
            ..app.serve.engine.clone()
        };
        let engine = Engine::start(
            store.clone(),
            app.clock.clone(),
            app.build.clone(),
            app.workflows.clone(),
            options,
        );
        let engine = Arc::new(engine.await?);
        let poked = engine.clone();
        let door = Door::new(
            store.clone(),
            app.clock.clone(),
            app.build.clone(),
            app.routes.clone(),
            Arc::new(move || poked.poke()),
        )?
        .public_url(app.config.public_url.clone())
        .trusted_proxies(app.config.proxies.clone())
        .flow_rules(app.workflows.flow_rules())
        .fetch(Arc::new(Certificates::new()));
        Ok(Self {
            app: app.name.clone(),
            store,
            clock: app.clock.clone(),
            build: app.build.clone(),
            engine,
            door,
            rules: app.workflows.flow_rules(),
            board: TriggerBoard::telling(Arc::new(app.api_alerts.clone())),
            vault: app.vault.clone(),
            api_alerts: app.api_alerts.clone(),
            admin_url: app.config.alerts.admin_url.as_deref().and_then(|url| Url::parse(url).ok()),
            owner,
            stopping: watch::Sender::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Begins what starts runs without a request.
    pub(crate) fn start_triggers(&self, app: &BuiltApp) {
        let poked = self.engine.clone();
        let poke = Arc::new(move || poked.poke());
        let told = self.engine.clone();
        let intake = Intake::new(self.store.clone(), self.clock.clone(), self.build.clone(), poke)
            .flow_rules(self.rules.clone())
            .on_later(Arc::new(move |begin| told.note_due(begin)));
        for trigger in &app.triggers {
            self.spawn(trigger(intake.clone(), &self.board, self.stopping.subscribe()));
        }
        if !app.schedules.is_empty() {
            let (schedules, cancel) = (app.schedules.clone(), schedule::cancel_with(self.engine.clone()));
            self.spawn(run_schedules(intake, &self.board, schedules, cancel, self.stopping.subscribe()));
        }
    }

    /// Begins what goes on beside the runs.
    pub(crate) fn keep_house(&self, app: &BuiltApp) {
        self.spawn(tidy(
            self.store.clone(),
            self.clock.clone(),
            app.serve.retention,
            self.stopping.subscribe(),
        ));
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let stopped = self.stopping.subscribe();
        if let Some(task) = alerts::tell(&app.config.alerts, &app.name, store, clock, stopped) {
            self.spawn(task);
        }
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let stopped = self.stopping.subscribe();
        if let Some(task) = alerts::tell_of_approvals(&app.config.alerts, &app.name, store, clock, stopped) {
            self.spawn(task);
        }
        let stopped = self.stopping.subscribe();
        if let Some(task) = alerts::tell_of_apis(&app.config.alerts, &app.name, &self.api_alerts, stopped) {
            self.spawn(task);
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    pub(crate) fn admin(&self) -> Admin {
        let (asked, poked) = (self.engine.clone(), self.engine.clone());
        let progress = move || -> bowline_model::BoxFuture<'static, Progress> {
            Box::pin(std::future::ready(asked.progress()))
        };
        let admin = Admin::new(
            self.store.clone(),
            self.clock.clone(),
            self.build.clone(),
            Arc::new(progress),
            Arc::new(move || poked.poke()),
        )
        .poke_pauses_with(self.poke_pauses())
        .app(&self.app)
        .flow_rules(self.rules.clone())
        .cancel_with(cancel::with_engine(self.engine.clone()))
        .vault(self.vault.clone(), self.admin_url.as_ref().map(Url::to_string))
        .triggers(self.board.clone())
        .alerts(self.api_alerts.clone());
        // Whoever says that people reach it by that name lets it answer by that name.
        match self.admin_url.as_ref().and_then(Url::host_str) {
            Some(host) => admin.allow_host(host),
            None => admin,
        }
    }

    fn poke_pauses(&self) -> Poke {
        let poked = self.engine.clone();
        Arc::new(move || poked.poke_pauses())
    }

    /// What operators can say to runs.
    pub(crate) fn commands(&self) -> Commands {
        let poked = self.engine.clone();
        let poke = Arc::new(move || poked.poke());
        Commands::new(self.store.clone(), self.clock.clone(), self.build.clone(), poke)
            .poke_pauses_with(self.poke_pauses())
            .flow_rules(self.rules.clone())
            .cancel_with(cancel::with_engine(self.engine.clone()))
    }

    /// Lets go of who waits here for a result, so that the sockets can be closed.
    pub(crate) fn stop_accepting(&self) {
        self.door.stop_waiting();
        self.stopping.send_replace(true);
    }

    /// Ends what is under way. The sockets are closed already.
    pub(crate) async fn finish(&self) {
        self.door.finish().await;
        // Before the engine and the vault: what a poll began may still need a token.
        self.end_tasks().await;
        self.engine.shutdown().await;
        // A refresh token that was rotated a moment ago is saved before the store closes.
        self.vault.close().await;
    }

    /// Waits for what goes on beside the runs; it was told to stop. A folder on a dead disk must not hold the shutdown.
    async fn end_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let all = async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a part of the app failed");
                }
            }
        };
        if timeout(TASKS_END_MAX, all).await.is_err() {
            let seconds = TASKS_END_MAX.as_secs();
            tracing::warn!("what goes on beside the runs did not stop within {seconds} s, and is cut off");
            aborts.iter().for_each(AbortHandle::abort);
        }
    }

    pub(crate) async fn close(&self) {
        if self.owner == Owner::Us
            && let Err(error) = self.store.close().await
        {
            tracing::error!(%error, "the store was not closed well; the next start recovers");
        }
    }
}
