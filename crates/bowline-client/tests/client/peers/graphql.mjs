// A GraphQL server of npm's Apollo Server, whose connection is graphql-relay's.
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { GraphQLError } from 'graphql';
import { connectionFromArray } from 'graphql-relay';

const typeDefs = `#graphql
    type Issue { id: ID!, title: String!, owner: String }
    type Edge { cursor: String!, node: Issue! }
    type PageInfo { hasNextPage: Boolean!, endCursor: String }
    type Issues { edges: [Edge!]!, pageInfo: PageInfo! }
    type Repository { issues(first: Int!, after: String): Issues! }
    type Query { repository: Repository!, issue(id: ID!): Issue, fails(code: String): Int, key: String }
    type Mutation { close(id: ID!): Issue, fails(code: String): Int, key: String }
`;
const issues = Array.from({ length: 25 }, (_, n) => ({ id: `${n + 1}`, title: `Issue ${n + 1}` }));
const fails = (_, { code }) => {
    throw code ? new GraphQLError(`failed with ${code}`, { extensions: { code } }) : new Error('failed');
};
const key = (_, __, context) => context.key;
const resolvers = {
    Repository: { issues: (_, args) => connectionFromArray(issues, args) },
    Issue: { owner: ({ id }) => { throw new GraphQLError(`${id} has no owner`, { extensions: { code: 'NOT_FOUND' } }); } },
    Query: { repository: () => ({}), issue: (_, { id }) => issues.find((issue) => issue.id === id), fails, key },
    Mutation: { close: (_, { id }) => issues.find((issue) => issue.id === id), fails, key },
};
const server = new ApolloServer({ typeDefs, resolvers });
const context = async ({ req }) => ({ key: req.headers['idempotency-key'] ?? null });
const { url } = await startStandaloneServer(server, { listen: { port: 0, host: '127.0.0.1' }, context });
console.log(`port ${new URL(url).port}`);
