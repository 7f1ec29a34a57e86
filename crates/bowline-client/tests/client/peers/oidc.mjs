// The certified provider `oidc-provider`: its own login and consent pages, rotated refresh tokens, a second use of one of
// which voids all that came of it. Prints its port; GET /said has a line for each answer of its token endpoint.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const redirect_uris = ['http://127.0.0.1:9/callback'];
const web = {
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    application_type: 'native',
    redirect_uris,
};
const machine = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };
// What has to be encoded in a header (RFC 6749 §2.3.1).
const client_secret = 's3cr:t+/= %&?';

const configuration = {
    clients: [
        { client_id: 'machine:1', client_secret, ...machine },
        { client_id: 'post', client_secret, token_endpoint_auth_method: 'client_secret_post', ...machine },
        {
            client_id: 'signer',
            token_endpoint_auth_method: 'private_key_jwt',
            jwks: { keys: [JSON.parse(process.env.PUBLIC_KEY)] },
            ...machine,
        },
        { client_id: 'web', client_secret, ...web },
        { client_id: 'public', token_endpoint_auth_method: 'none', ...web },
    ],
    features: { clientCredentials: { enabled: true } },
    rotateRefreshToken: true,
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access', 'contacts'],
    ttl: { AccessToken: 3600, ClientCredentials: 600, RefreshToken: 86400 },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    const provider = new Provider(`http://127.0.0.1:${port}`, configuration);
    const said = [];
    provider.on('grant.success', (ctx) => said.push(`granted ${ctx.oidc.params.grant_type}`));
    provider.on('grant.error', (ctx, error) => said.push(`denied ${error.error}: ${error.error_detail}`));
    provider.on('server_error', (ctx, error) => said.push(`server error ${error.stack}`));
    const answer = provider.callback();
    server.on('request', (request, response) =>
        request.url === '/said' ? response.end(said.join('\n')) : answer(request, response),
    );
    console.log(`port ${port}`);
});
