// Webhooks as the official SDKs on npm sign and judge them: Linear's, and GitHub's for those that sign as GitHub does.
//
// First line of the standard input: {"sender", "mode"}.
// With the mode "sign" it prints one JSON object a line: {"name", "secrets", "headers", "body" (base64), "now",
// "expect"}, where `expect` is what a receiver with those secrets should say at `now`: "accepted" or "refused".
// With the mode "judge" it reads such objects (without "expect") and prints "accepted" or "refused" for each, a line
// each. Timestamps are of now: use the lines within a minute.

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const NOW = Date.now();
const SECRETS = ["the secret", "another secret"];

/** Linear's SDK judges; Node's standard library signs. */
const linear = {
    stale: 90,
    async accepts(secret, headers, body) {
        const { LinearWebhookClient } = await import("@linear/sdk/webhooks");
        return new LinearWebhookClient(secret).verify(body, headers["linear-signature"]);
    },
    body: (at) => Buffer.from(`{"action":"update","type":"Issue","data":{"title":"Zoë"},"webhookTimestamp":${at}}\n`),
    sign: (secret, body) => ({ "linear-signature": createHmac("sha256", secret).update(body).digest("hex") }),
};

/** GitHub's library signs and judges, with the header that this sender uses. */
const asGitHub = (header) => ({
    async accepts(secret, headers, body) {
        const { verify } = await import("@octokit/webhooks-methods");
        return verify(secret, body.toString(), headers[header]);
    },
    body: () => Buffer.from('{"push":{"changes":[]},"actor":"Zoë"}\n'),
    async sign(secret, body) {
        const { sign } = await import("@octokit/webhooks-methods");
        return { [header]: await sign(secret, body.toString()) };
    },
});

const SENDERS = { linear, bitbucket: asGitHub("x-hub-signature"), meta: asGitHub("x-hub-signature-256") };

async function* cases(sender) {
    const [secret, other] = SECRETS;
    const body = sender.body(NOW);
    const signed = await sender.sign(secret, body);
    const changed = Buffer.from(body.toString().replace("Zoë", "Zoe"));
    yield ["genuine", [secret], signed, body, "accepted"];
    yield ["of the old secret", [other, secret], signed, body, "accepted"];
    yield ["of another secret", [other], signed, body, "refused"];
    yield ["another body", [secret], signed, changed, "refused"];
    yield ["a body without its end", [secret], signed, Buffer.from(body.toString().trim()), "refused"];
    yield ["no signature", [secret], {}, body, "refused"];
    if (sender.stale) {
        for (const [name, sign] of [["stale", -1], ["of the future", 1]]) {
            const other = sender.body(NOW + sign * sender.stale * 1000);
            yield [name, [secret], await sender.sign(secret, other), other, "refused"];
        }
        const timeless = Buffer.from('{"action":"update"}');
        yield ["without a time", [secret], await sender.sign(secret, timeless), timeless, "refused"];
    }
}

/** Any exception is a refusal. */
async function verdict(sender, { secrets, headers, body }) {
    for (const secret of secrets) {
        try {
            if (await sender.accepts(secret, headers, Buffer.from(body, "base64"))) return "accepted";
        } catch {
            // The next secret.
        }
    }
    return "refused";
}

const [first, ...lines] = readFileSync(0, "utf8").trim().split("\n");
const { sender: name, mode } = JSON.parse(first);
const sender = SENDERS[name];
if (mode === "sign") {
    for await (const [name, secrets, headers, body, expect] of cases(sender)) {
        const line = { name, secrets, headers, body: body.toString("base64"), now: Math.floor(NOW / 1000) };
        const said = await verdict(sender, line);
        if (said !== expect) throw new Error(`${name}: the library says ${said}`);
        console.log(JSON.stringify({ ...line, expect }));
    }
} else {
    for (const line of lines) console.log(await verdict(sender, JSON.parse(line)));
}
