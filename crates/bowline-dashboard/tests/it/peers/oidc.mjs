// The certified provider `oidc-provider`, with its own login and consent pages. Prints its port.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const configuration = {
    clients: [
        {
            client_id: 'bowline',
            client_secret: 'a secret that both know',
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            // Of a native client's redirect URI on loopback the port may be any (RFC 8252 §7.3).
            application_type: 'native',
            redirect_uris: ['http://127.0.0.1/connect/callback'],
        },
    ],
    rotateRefreshToken: true,
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access'],
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    const provider = new Provider(`http://127.0.0.1:${port}`, configuration);
    server.on('request', provider.callback());
    console.log(`port ${port}`);
});
