//! Discord.

use bowline_ingress::providers;

use super::{Source, signed_as};

const PURPOSE: &str = "the public key (64 hex digits) of the Discord application";

/// Discord's webhook events. A workflow receives the `event`; the types are such as `APPLICATION_AUTHORIZED`.
#[derive(Debug)]
pub struct Discord;

impl Discord {
    /// Signed for the application whose public key is in that variable; several, separated by commas, are all accepted.
    pub fn public_key_env<S>(variable: &str) -> Source<S> {
        signed_as(variable, PURPOSE, stand_in, |first, more| {
            let discord = providers::Discord::new(first)?;
            more.iter().try_fold(discord, |discord, key| discord.also_accept(key))
        })
    }
}

/// Discord's interactions. A workflow receives the whole interaction, whose `token` responds to it; the types are
/// `APPLICATION_COMMAND`, `MESSAGE_COMPONENT` and `MODAL_SUBMIT`. Discord is told at once that a message will follow.
#[derive(Debug)]
pub struct DiscordInteractions;

impl DiscordInteractions {
    /// Signed for the application whose public key is in that variable; several, separated by commas, are all accepted.
    pub fn public_key_env<S>(variable: &str) -> Source<S> {
        signed_as(variable, PURPOSE, stand_in, |first, more| {
            let discord = providers::DiscordInteractions::new(first)?;
            more.iter().try_fold(discord, |discord, key| discord.also_accept(key))
        })
    }
}

fn stand_in() -> String {
    providers::discord::TEST_KEY.to_owned()
}
