// Webhooks as the official SDKs on npm sign and judge them: Linear's, AWS's, and GitHub's for those that sign as GitHub
// does.
//
// Arguments: the sender, and "sign" or "judge".
// With "sign" it prints one JSON object a line: {"name", "secrets", "headers", "body" (base64), "now", "expect"}, where
// `expect` is what a receiver with those secrets should say at `now`: "accepted" or "refused".
// With "judge" it reads such objects (without "expect") and prints "accepted" or "refused" for each, a line each.
// SECRETS in the environment is a JSON array of the two secrets that sign. Timestamps are of now: use the lines within a
// minute.

import { createHmac, createSign } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const NOW = Date.now();
const SECRETS = JSON.parse(process.env.SECRETS);

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

/**
 * AWS's validator of SNS judges, with the certificate that it would fetch; Node's OpenSSL signs, in both versions. A secret
 * is the certificate's address and, on the next lines, a key and its certificate.
 */
const sns = {
    async accepts(secret, _headers, body) {
        https.get = (_url, answer) => {
            answer(Object.assign(Readable.from([secret.slice(secret.indexOf("-----BEGIN CERT"))]), { statusCode: 200 }));
            return { on() {} };
        };
        // Anew each time: it remembers certificates.
        const require = createRequire(`${process.cwd()}/`);
        delete require.cache[require.resolve("sns-validator")];
        const Validator = require("sns-validator");
        return new Promise((resolve) => new Validator().validate(body.toString(), (error) => resolve(!error)));
    },
    /** A message, after the documentation. */
    sign(secret, version, fields) {
        const message = {
            Type: "Notification",
            MessageId: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            TopicArn: "arn:aws:sns:us-east-1:123456789012:orders",
            Message: "Hello\nZoë!",
            Timestamp: "2012-05-02T00:54:06.655Z",
            ...fields,
        };
        const signer = createSign(version === "1" ? "RSA-SHA1" : "RSA-SHA256");
        for (const name of Object.keys(message).sort()) signer.update(`${name}\n${message[name]}\n`);
        const Signature = signer.sign(secret.slice(secret.indexOf("-----"), secret.indexOf("-----BEGIN CERT")), "base64");
        return { ...message, Signature, SignatureVersion: version, SigningCertURL: secret.split("\n")[0] };
    },
    *cases() {
        const [secret, other] = SECRETS;
        const line = (name, secrets, message, expect) => [name, secrets, {}, Buffer.from(JSON.stringify(message)), expect];
        const confirmation = {
            Type: "SubscriptionConfirmation",
            Token: "2336412f37",
            SubscribeURL: "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        };
        for (const version of ["1", "2"]) {
            for (const fields of [{}, { Subject: "My First Message" }, confirmation]) {
                const message = sns.sign(secret, version, fields);
                const name = (text) => `${text}, version ${version}, ${Object.keys(fields)}`;
                yield line(name("genuine"), [secret], message, "accepted");
                yield line(name("of the old secret"), [other, secret], message, "accepted");
                yield line(name("of another secret"), [other], { ...message, SigningCertURL: other.split("\n")[0] }, "refused");
                for (const field of ["Message", "MessageId", "Timestamp", ...Object.keys(fields)]) {
                    yield line(name(`another ${field}`), [secret], { ...message, [field]: `${message[field]}x` }, "refused");
                }
                for (const field of ["Signature", "SigningCertURL", "SignatureVersion"]) {
                    yield line(name(`without ${field}`), [secret], { ...message, [field]: undefined }, "refused");
                }
                const swapped = { ...message, SignatureVersion: version === "1" ? "2" : "1" };
                yield line(name("as the other version"), [secret], swapped, "refused");
                yield line(name("as no version"), [secret], { ...message, SignatureVersion: "3" }, "refused");
                const elsewhere = message.SigningCertURL.replace(".amazonaws.com/", ".amazonaws.com.example.org/");
                yield line(name("of another host"), [secret], { ...message, SigningCertURL: elsewhere }, "refused");
            }
        }
    },
};

const SENDERS = { sns, linear, bitbucket: asGitHub("x-hub-signature"), meta: asGitHub("x-hub-signature-256") };

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

const [name, mode] = process.argv.slice(1);
const sender = SENDERS[name];
if (mode === "sign") {
    for await (const [name, secrets, headers, body, expect] of sender.cases?.() ?? cases(sender)) {
        const line = { name, secrets, headers, body: body.toString("base64"), now: Math.floor(NOW / 1000) };
        const said = await verdict(sender, line);
        if (said !== expect) throw new Error(`${name}: the library says ${said}`);
        console.log(JSON.stringify({ ...line, expect }));
    }
} else {
    const lines = readFileSync(0, "utf8").trim().split("\n");
    for (const line of lines) console.log(await verdict(sender, JSON.parse(line)));
}
