"""An authorization server made of Authlib: client credentials, refresh tokens that are used once, signed statements.

Prints its port. GET /said has a line for each token that was given; GET /contacts takes them.
"""

import os

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerGrant
from flask import Flask, jsonify, request
from joserfc.jwk import ECKey, RSAKey
from werkzeug.serving import make_server

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Client(ClientMixin):
    def __init__(self, client_id, secret, methods, grant_types, key=None):
        self.client_id, self.secret, self.methods = client_id, secret, methods
        self.grant_types, self.key = grant_types, key

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(part for part in (scope or "").split() if part in ("read", "write"))

    def check_client_secret(self, client_secret):
        return self.secret == client_secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method in self.methods

    def check_grant_type(self, grant_type):
        return grant_type in self.grant_types


class Token(TokenMixin):
    def __init__(self, token, client, user):
        self.token, self.client, self.user, self.used = token, client, user, False

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.token.get("scope", "")

    def get_expires_in(self):
        return self.token["expires_in"]

    def is_expired(self):
        return False

    def is_revoked(self):
        return self.used

    def get_user(self):
        return self.user

    def get_client(self):
        return self.client


EC_PEM, RSA_PEM = os.environ["EC_KEY"], os.environ["RSA_KEY"]
clients = {
    client.client_id: client
    for client in [
        Client("web", "web-secret-1", ["client_secret_basic"], ["client_credentials", "refresh_token"]),
        Client("signer", "", [], [BEARER], ECKey.import_key(EC_PEM)),
        Client("robot@project.example", "", [], [BEARER], RSAKey.import_key(RSA_PEM)),
    ]
}
tokens, said = [], []


def save_token(token, request):
    tokens.append(Token(token, request.client, request.user))
    said.append(f"granted {request.payload.grant_type} {token.get('scope', '')} {request.user or ''}".strip())


class Refresh(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        for token in tokens:
            if token.token.get("refresh_token") == refresh_token and not token.used:
                return token

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.used = True


class Statement(JWTBearerGrant):
    def resolve_issuer_client(self, issuer):
        return clients.get(issuer)

    def resolve_client_public_key(self, client):
        return client.key

    def authenticate_user(self, subject):
        return subject if subject in ("jane@example.com", "signer", "robot@project.example") else None

    def has_granted_permission(self, client, user):
        return True

    def get_audiences(self):
        return [f"http://127.0.0.1:{port}/token"]


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
server.register_grant(grants.ClientCredentialsGrant)
server.register_grant(Refresh)
server.register_grant(Statement)
# As if somebody had fetched them by hand.
for seed in ("seed-1-of-a-variable", "seed-2-of-a-variable"):
    first = {"access_token": "-", "refresh_token": seed, "expires_in": 1, "scope": "read"}
    tokens.append(Token(first, clients["web"], "jane@example.com"))


@app.post("/token")
def token():
    return server.create_token_response()


@app.get("/said")
def all_said():
    return "\n".join(said)


@app.get("/contacts")
def contacts():
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if any(token.token["access_token"] == given for token in tokens):
        return jsonify(1)
    return jsonify("who are you?"), 401


listening = make_server("127.0.0.1", 0, app, threaded=True)
port = listening.server_port
print(f"port {port}", flush=True)
listening.serve_forever()
