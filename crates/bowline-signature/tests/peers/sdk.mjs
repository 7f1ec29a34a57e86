// Requests as the official libraries of npm sign and judge them. As sdk.py, with another NAME: shopify or
// zoom.
//
// Needs the npm packages @shopify/shopify-api and @zoom/rivet.

import { createInterface } from 'node:readline';

// What the libraries print is no answer of ours.
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\n');
for (const level of ['debug', 'info', 'log', 'warn', 'error']) console[level] = () => {};

async function shopify() {
    await import('@shopify/shopify-api/adapters/web-api');
    const { shopifyApi, ApiVersion } = await import('@shopify/shopify-api');
    return async ({ secret, url, headers }, body) => {
        const api = shopifyApi({
            apiSecretKey: secret,
            apiKey: 'key',
            hostName: 'hooks.example.com',
            apiVersion: Object.values(ApiVersion)[0],
            isEmbeddedApp: false,
            logger: { level: 0, log: () => {} },
        });
        const rawRequest = new Request(url, { method: 'POST', headers, body });
        const { valid } = await api.webhooks.validate({ rawBody: body, rawRequest });
        return { valid };
    };
}

async function zoom() {
    const { AwsLambdaReceiver } = await import('@zoom/rivet/users');
    return async ({ secret, headers }, body) => {
        const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
        const reply = await receiver.start()({ body, headers, isBase64Encoded: false }, {});
        return { valid: reply.statusCode === 200, answer: JSON.parse(reply.body) };
    };
}

const judge = await { shopify, zoom }[process.argv[1]]();
for await (const text of createInterface({ input: process.stdin })) {
    const line = JSON.parse(text);
    const body = Buffer.from(line.body, 'base64').toString();
    // What makes a library throw is refused as well.
    const { valid, answer: replied } = await judge(line, body).catch(() => ({ valid: false }));
    answer({ said: valid ? 'accepted' : 'refused', signed: null, answer: replied ?? null });
}
