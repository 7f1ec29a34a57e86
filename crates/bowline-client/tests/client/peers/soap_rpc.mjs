// A SOAP service of RPC/literal messages, made of the package soap (npm), from the WSDL in the variable WSDL.
// Prints its port. /stock takes all requests; /text and /digest those with a UsernameToken of that kind, of bob with the
// password s3cret&<pass>. GET /seen gives the bodies it received, as JSON, and forgets them.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import soap from 'soap';

const PASSWORD = 's3cret&<pass>';
let seen = [];

const refused = (code, text) => ({
  Fault: { faultcode: code, faultstring: text, detail: { shelf: { name: 'A <1>' } }, statusCode: 500 },
});

const port = {
  Add: ({ a, b }) => ({ sum: Number(a) + Number(b) }),
  Move: ({ item, to }) => ({ item: { attributes: { checked: true }, ...item, place: [].concat(item.place ?? [], to) }, note: `moved to ${to}` }),
  Refuse: ({ why }) => {
    throw refused(why, `refused: ${why}`);
  },
};

const server = createServer((request, response) => {
  if (request.url !== '/seen') return response.writeHead(404).end();
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(seen));
  seen = [];
});

function listen(path, kind) {
  const service = soap.listen(server, path, { Stock: { Stock: port } }, process.env.WSDL);
  service.log = (type, data) => type === 'received' && seen.push(data);
  if (!kind) return;
  service.authenticate = (security) => {
    const { Username: user, Password: password, Nonce: nonce, Created: created } = security?.UsernameToken ?? {};
    if (user !== 'bob' || !password?.attributes.Type.toLowerCase().endsWith(`#password${kind}`)) return false;
    if (kind === 'text') return password.$value === PASSWORD;
    const made = Buffer.concat([Buffer.from(nonce.$value ?? nonce, 'base64'), Buffer.from(created + PASSWORD)]);
    return createHash('sha1').update(made).digest('base64') === password.$value;
  };
}

listen('/stock');
listen('/text', 'text');
listen('/digest', 'digest');
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
