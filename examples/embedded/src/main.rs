//! The shop: `STOCK_BASE_URL=… STOCK_TOKEN=… … cargo run -p embedded`.

use std::{error::Error, net::SocketAddr};

use embedded::{automations, router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = automations().open().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let stopping = app.clone();
    // Bowline's routes see who asks: `allow_ips` and the limits for each client need it.
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            // An error means that there are no signals here: then nobody can ask to stop.
            let _ = tokio::signal::ctrl_c().await;
            stopping.stop_waiting();
        })
        .await?;
    // Calls under way may end, and the store is closed.
    app.shutdown().await;
    Ok(())
}
