// A REST server of npm's json-server, whose Express gives each answer an ETag. Prints its port, and a line per answer.
import jsonServer from 'json-server';

const server = jsonServer.create();
server.use((request, response, next) => {
    response.on('finish', () => console.log(`${request.method} ${request.url} ${response.statusCode}`));
    next();
});
server.use(jsonServer.defaults({ logger: false, static: '.' }));
server.use(jsonServer.bodyParser);
server.use(jsonServer.router({ contacts: [{ id: 1, name: 'Ada' }] }));
const listener = server.listen(0, '127.0.0.1', () => console.log(`port ${listener.address().port}`));
