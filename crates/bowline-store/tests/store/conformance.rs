//! What every store promises. Each function gets a fresh store.

pub(crate) mod accepting;

/// Runs every promise against one backend.
macro_rules! promises {
    ($store:ident, $backend:expr) => {
        mod $store {
            $crate::conformance::promises! { @of $backend;
                accepting { accepts_an_event_with_its_runs }
            }
        }
    };
    (@of $backend:expr; $($module:ident { $($promise:ident)+ })+) => {
        $($(#[tokio::test]
        async fn $promise() {
            let mut bench = $crate::bench::Bench::new(Box::new($backend)).await;
            $crate::conformance::$module::$promise(&mut bench).await;
        })+)+
    };
}
pub(crate) use promises;
