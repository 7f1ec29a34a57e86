//! Who may send to a route at all, before anybody looks at what is sent.

use bowline_ingress::{ClientLimit, Route, TrustedProxies};
use bowline_model::Variables;

/// Names the proxies in front.
pub(crate) const PROXIES_VARIABLE: &str = "BOWLINE_TRUSTED_PROXIES";

/// What webhooks and posts say of their clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    pub(crate) allowed: Vec<String>,
    pub(crate) limit: Option<ClientLimit>,
}

impl Guard {
    pub(crate) fn stand_before(&self, route: Route) -> Route {
        let route = route.allow_ips(&self.allowed);
        match self.limit {
            Some(limit) => route.client_limit(limit),
            None => route,
        }
    }
}

/// The proxies in front; `None` if nobody said. In tests nothing stands in front.
pub(crate) fn trusted_proxies(variables: &Variables) -> Option<TrustedProxies> {
    let Some(text) = variables.get(PROXIES_VARIABLE) else {
        return variables.is_testing().then(TrustedProxies::none);
    };
    match TrustedProxies::parse(&text) {
        Ok(proxies) => Some(proxies),
        Err(problem) => {
            let problem = format!("cannot be read: {problem}; separate several by commas, or write none");
            variables.problem(PROXIES_VARIABLE, problem);
            None
        }
    }
}

/// A list of addresses means nothing until it is known whose address is looked at.
pub(crate) fn check(routes: &[Route], proxies: Option<&TrustedProxies>, variables: &Variables) {
    let Some(route) = routes.iter().find(|route| route.has_allowed_ips() && proxies.is_none()) else {
        return;
    };
    let problem = format!(
        "is not set, and {} takes requests of some addresses only: say which proxies stand in front, as 10.0.0.0/8, or \
         none",
        route.path()
    );
    variables.problem(PROXIES_VARIABLE, problem);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bowline_ingress::providers::Stripe;
    use bowline_model::Secret;

    use super::*;

    fn problem(value: Option<&'static str>) -> Option<String> {
        let variables =
            Variables::new(move |name| value.filter(|_| name == PROXIES_VARIABLE).map(ToOwned::to_owned));
        let stripe = Arc::new(Stripe::new(&Secret::new("whsec_test")).unwrap());
        let guard = Guard { allowed: vec!["192.0.2.1".into()], limit: None };
        let route = guard.stand_before(Route::new("/a", stripe));
        check(&[route], trusted_proxies(&variables).as_ref(), &variables);
        variables.problems().pop().map(|(_, problem)| problem)
    }

    #[test]
    fn a_list_of_addresses_needs_to_know_what_stands_in_front() {
        assert!(problem(None).unwrap().contains("is not set, and /a takes requests of some addresses only"));
        assert!(problem(Some("my-proxy")).unwrap().contains("\"my-proxy\" is no address and no range"));
        assert_eq!((problem(Some("none")), problem(Some("10.0.0.0/8,::1"))), (None, None));
    }
}
