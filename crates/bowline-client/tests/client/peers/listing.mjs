// A REST server of npm's json-server: pages by number or offset, links in a header.
import jsonServer from 'json-server';

const contacts = Array.from({ length: 25 }, (_, n) => ({ id: n + 1, email: `c${n + 1}@example.com` }));
const server = jsonServer.create();
server.use(jsonServer.defaults({ logger: false }));
server.use(jsonServer.router({ contacts }));
const listener = server.listen(0, '127.0.0.1', () => console.log(`port ${listener.address().port}`));
