//! GraphQL: what errors in a good answer do, and a server of npm's.

use std::time::Duration;

use bowline_client::{Api, Partial};
use bowline_model::{Effect, Error, Repeat, RetryPolicy, Verdict};
use bowline_testing::{Process, peer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::remote::{Hand, LONG, Remote, answer, api_at, done, later, once, refused, unknown};

const QUERY: &str = "query Title($id: ID!) { product(id: $id) { title } }";
const MUTATION: &str = "mutation Pay { pay { id } }";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Data {
    product: Product,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    title: String,
}

async fn answering(status: u16, body: Value) -> Remote {
    Remote::always(status, &[("content-type", "application/json")], body.to_string()).await
}

#[tokio::test]
async fn a_query_is_a_post_that_may_be_repeated_and_a_mutation_has_a_key() {
    let shop = answering(200, json!({"data": {"product": {"title": "Knot"}}})).await;
    let query = shop.api().graphql(QUERY).at("/graphql.json").variables(&json!({"id": 7})).operation("Title");
    let call = query.decode::<Data>();
    assert_eq!(call.shape().repeat, Repeat::Safe);
    assert_eq!(done(once(call).await).product.title, "Knot");
    let seen = &shop.seen()[0];
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/graphql.json"));
    assert_eq!(seen.header("accept"), "application/graphql-response+json, application/json;q=0.9");
    assert_eq!((seen.header("content-type"), seen.header("idempotency-key")), ("application/json", ""));
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body, json!({"query": QUERY, "operationName": "Title", "variables": {"id": 7}}));

    let call = shop.api().graphql(MUTATION).decode::<Value>();
    assert_eq!(call.shape().repeat, Repeat::Keyed { lifetime: Duration::from_secs(24 * 3600) });
    done(once(call).await);
    assert_eq!(shop.seen()[1].header("idempotency-key"), "key-1");
    let both = format!("{QUERY} {MUTATION}");
    for (operation, repeat) in [("Title", true), ("Pay", false)] {
        let call = shop.api().graphql(&both).operation(operation).decode::<Value>();
        assert_eq!(call.shape().repeat == Repeat::Safe, repeat, "{operation}");
    }
}

#[tokio::test]
async fn errors_in_a_200_fail_the_call_with_path_and_code() {
    let error = json!({"message": "Product 7 is gone", "path": ["product", "variants", 0], "extensions": {"code": "NOT_FOUND"}});
    let shop = answering(200, json!({"data": {"product": null}, "errors": [error, {"message": "x"}]})).await;
    let failure = refused(once(shop.api().graphql(QUERY).decode::<Data>()).await);
    assert_eq!(
        failure.message,
        "POST crm / answered 200, but with 2 errors, one at product.variants[0]: NOT_FOUND, saying \"Product 7 is gone\""
    );
    let call = failure.call.unwrap();
    assert_eq!((call.status, call.code.as_deref()), (Some(200), Some("NOT_FOUND")));
}

#[tokio::test]
async fn a_mutation_that_may_have_run_is_not_repeated_blindly() {
    let error = json!({"message": "later step broke"});
    let shop = answering(200, json!({"data": {"pay": {"id": 1}, "notify": null}, "errors": [error]})).await;
    assert!(!unknown(once(shop.api().graphql(MUTATION).decode::<Value>()).await).retryable);
    let refusal = answering(200, json!({"errors": [error]})).await;
    refused(once(refusal.api().graphql(MUTATION).decode::<Value>()).await);
}

#[tokio::test]
async fn a_throttled_query_waits_until_its_cost_is_there() {
    let cost = json!({"requestedQueryCost": 502, "actualQueryCost": null,
        "throttleStatus": {"maximumAvailable": 1000.0, "currentlyAvailable": 2, "restoreRate": 50.0}});
    let body = json!({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}});
    let shop = answering(200, body).await;
    for failure in [
        later(once(shop.api().graphql(QUERY).decode::<Data>()).await),
        later(once(shop.api().no_breaker().graphql(QUERY).partial::<Data>()).await),
    ] {
        assert_eq!(failure.retry_after, Some(Duration::from_secs(10)), "{failure}");
        assert_eq!(failure.call.unwrap().code.as_deref(), Some("THROTTLED"));
    }
}

#[tokio::test]
async fn partial_data_is_kept_with_the_errors_beside_it() {
    let error = json!({"message": "gone", "path": ["b"], "extensions": {"code": "NOT_FOUND"}});
    let shop = answering(200, json!({"data": {"a": 1, "b": null}, "errors": [error]})).await;
    let live: Partial<Value> = done(once(shop.api().graphql("{ a b }").partial()).await);
    assert_eq!((&live.data, live.errors[0].code()), (&Some(json!({"a": 1, "b": null})), Some("NOT_FOUND")));
    let recorded: Partial<Value> = serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
    assert_eq!(recorded, live);

    let empty = answering(200, json!({"data": null, "errors": [error]})).await;
    let none: Partial<Value> = done(once(empty.api().graphql("{ a }").partial()).await);
    assert_eq!((none.data, none.errors.len()), (None, 1));
    let never_ran = answering(200, json!({"errors": [error]})).await;
    refused(once(never_ran.api().graphql("{ a }").partial::<Value>()).await);
}

#[tokio::test]
async fn what_is_no_answer_of_graphql_is_told() {
    for (body, told) in [
        ("<html>", "is HTML where JSON was expected"),
        (r#"{"product":1}"#, "but its body has neither data nor errors: is this where GraphQL is answered?"),
        (r#"{"data":{"product":{"title":7}}}"#, "does not fit its type at `data.product.title`"),
        (r#"{"data":null}"#, "does not fit its type at `data`"),
        ("", "but its body is empty"),
    ] {
        let shop = Remote::always(200, &[], body).await;
        let failure = unknown(once(shop.api().graphql(QUERY).decode::<Data>()).await);
        assert!(failure.message.contains(told) && !failure.retryable, "{failure}");
    }
    let shop = answering(200, json!({"data": {}})).await;
    for (query, told) in [
        ("", "has no operation"),
        ("subscription { a }", "a subscription is not one request"),
        ("query A { a } query B { b }", "choose with .operation(name)"),
    ] {
        let failure = refused(once(shop.api().graphql(query).decode::<Value>()).await);
        assert!(failure.message.contains("was not sent: ") && failure.message.contains(told), "{failure}");
    }
    let unencodable = std::collections::HashMap::from([(vec![1], 1)]);
    let failure = refused(once(shop.api().graphql(QUERY).variables(&unencodable).decode::<Value>()).await);
    assert!(failure.message.contains("the variables cannot be written as JSON"), "{failure}");
    assert_eq!(shop.seen().len(), 0);
}

#[tokio::test]
async fn a_lost_answer_to_a_query_is_asked_for_again() {
    let shop = Remote::new(|nth, _| match nth {
        1 => answer(500, r#"{"errors":[{"message":"boom"}]}"#),
        _ => answer(200, r#"{"data":{"product":{"title":"Knot"}}}"#),
    })
    .await;
    let api = shop.api().clock(Hand::new()).attempt_timeout(LONG);
    let data: Data = api.graphql(QUERY).decode().send().await.unwrap();
    assert_eq!((data.product.title.as_str(), shop.seen().len()), ("Knot", 2));
}

/// Apollo Server from npm; none where it is missing.
fn apollo(test: &str) -> Option<(Api, Process)> {
    let Some(node) = peer::node("@apollo/server", include_str!("peers/graphql.mjs")) else {
        bowline_testing::skip::record(
            test,
            "BOWLINE_NODE has no @apollo/server: scripts/node makes one that has",
        );
        return None;
    };
    let mut process = node.ready_on_line("port ").start().unwrap();
    let line = process.wait_for_line("port ", LONG).unwrap();
    let port: u16 = line.rsplit(' ').next().unwrap().trim().parse().unwrap();
    let api = api_at(([127, 0, 0, 1], port).into()).retry(RetryPolicy::never()).attempt_timeout(LONG);
    Some((api, process))
}

#[tokio::test]
async fn speaks_with_apollo_server() {
    let Some((api, _process)) = apollo("speaks_with_apollo_server") else { return };
    let issue =
        |id: u64| api.graphql("query($id: ID!) { issue(id: $id) { title } }").variables(&json!({"id": id}));
    let data: Value = done(once(issue(7).decode()).await);
    assert_eq!(data, json!({"issue": {"title": "Issue 7"}}));

    let of = async |query: &str| -> Verdict<Value> { once(api.graphql(query).decode()).await };
    assert_eq!(done(of("# mutation\n{ key }").await), json!({"key": null}), "a query carries no key");
    assert_eq!(done(of("mutation query { key }").await), json!({"key": "key-1"}), "a mutation does");

    let invalid = refused(of("{ nope }").await);
    let told = "POST crm / answered 400 with an error: GRAPHQL_VALIDATION_FAILED, saying \"Cannot query field \"nope\" on type \"Query\".\"";
    assert_eq!(invalid.message, told);
    assert_eq!(invalid.call.unwrap().code.as_deref(), Some("GRAPHQL_VALIDATION_FAILED"));
    later(of("{ fails(code: \"RATE_LIMITED\") }").await);
    assert!(unknown(of("{ fails }").await).retryable, "INTERNAL_SERVER_ERROR");
    refused(of("mutation { fails(code: \"FORBIDDEN\") }").await);
    assert!(!unknown(of("mutation { a: close(id: 1) { id } fails }").await).retryable, "a part of it ran");

    let half = api.graphql("{ issue(id: 3) { id owner } }").partial::<Value>();
    let half = done(once(half).await);
    assert_eq!(half.data, Some(json!({"issue": {"id": "3", "owner": null}})));
    assert_eq!((half.errors[0].path.as_str(), half.errors[0].code()), ("issue.owner", Some("NOT_FOUND")));
}

#[tokio::test]
async fn pages_through_a_connection_of_apollo_server() {
    let Some((api, _process)) = apollo("pages_through_a_connection_of_apollo_server") else { return };
    #[derive(Deserialize)]
    struct Issue {
        id: String,
    }
    let query = "query($first: Int!, $after: String) { repository { issues(first: $first, after: $after) {
        edges { node { id } } pageInfo { hasNextPage endCursor } } } }";
    let pages = api.graphql(query).variables(&json!({"first": 10})).pages::<Issue>("repository.issues");
    let (mut items, mut ids) = (pages.items(), vec![]);
    while let Some(issue) = items.next().await {
        ids.push(issue.unwrap().id.parse::<u64>().unwrap());
    }
    assert_eq!((ids, items.cursor().page()), ((1..=25).collect(), 3));

    let wrong = "query($first: Int!, $after: String) { repository { issues(first: $first, after: $after) { edges { node { id } } } } }";
    let pages = api.graphql(wrong).variables(&json!({"first": 10})).pages::<Value>("repository.issues");
    let error: Error = pages.items().next().await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("has no pageInfo at \"repository.issues\": ask for pageInfo"),
        "{error}"
    );
}
