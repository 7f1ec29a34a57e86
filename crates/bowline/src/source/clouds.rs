//! Amazon SNS and Microsoft Graph.

use std::sync::Arc;

use bowline_ingress::{Provider, providers};

use super::{Source, signed_with};

/// Amazon SNS. A workflow receives the whole message, whose text is `Message`, without its signature and the addresses
/// that end or renew the subscription; the types are the topics' names after `Notification.`: `Notification.orders`.
///
/// Subscriptions of the named topics are confirmed by themselves. AWS's certificate is fetched from
/// `sns.<region>.amazonaws.com`, once a day.
#[derive(Debug)]
pub struct Sns;

impl Sns {
    /// Of the topics with these ARNs; messages of others are refused: every AWS account signs with the same key.
    pub fn topics<S, T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Source<S> {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        Source::new(move |variables| match providers::Sns::new(topics.clone()) {
            Ok(sns) => {
                let sns = if variables.is_testing() { sns.with_test_key() } else { sns };
                Some(Arc::new(sns) as Arc<dyn Provider>)
            }
            Err(problem) => {
                variables.problem("Sns::topics", problem.to_string());
                None
            }
        })
    }
}

/// Microsoft Graph's change notifications. A workflow receives each notification; the types are `created`, `updated`,
/// `deleted`, and of the lifecycle `reauthorizationRequired`, `subscriptionRemoved`, `missed`.
#[derive(Debug)]
pub struct Graph;

impl Graph {
    /// With the `clientState` of the subscriptions in that variable; several, separated by commas, are all accepted.
    pub fn client_state_env<S>(variable: &str) -> Source<S> {
        signed_with(variable, "the clientState of the Microsoft Graph subscriptions", |first, more| {
            let graph = providers::Graph::new(first)?;
            more.iter().try_fold(graph, |graph, state| graph.also_accept(state))
        })
    }
}
