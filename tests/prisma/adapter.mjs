// @prisma/adapter-pg with the two habits of Prisma's native schema engine (up to 7.3) that matter here:
// one session for everything, so that the advisory lock and settings last, and a migration's file sent as one message
// (the adapter alone splits it at every ';', also in strings and function bodies).
import pg from 'pg'
import { PrismaPg } from '@prisma/adapter-pg'

// The engine's ten-second timer for the lock is never cleared; it must not keep the process alive.
const realSetTimeout = globalThis.setTimeout
globalThis.setTimeout = (f, ms, ...args) => {
  const timer = realSetTimeout(f, ms, ...args)
  if (ms === 10000) timer.unref?.()
  return timer
}

export function adapter(connectionString) {
  const config = { connectionString, application_name: 'prisma' }
  const connect = async () => {
    const client = new pg.Client(config)
    client.on('error', () => {})
    const session = await new PrismaPg(config).connect() // its pool stays unused
    session.client = {
      query: async (...query) => {
        client.ref()
        try { return await client.query(...query) } finally { client.unref() } // an idle session must not block the exit
      },
    }
    session.dispose = () => client.end()
    session.executeScript = async (script) => {
      try { await session.client.query(script) } catch (error) { session.onError(error) }
    }
    try { await client.connect() } catch (error) { session.onError(error) }
    client.unref()
    return session
  }
  return {
    provider: 'postgres',
    adapterName: '@prisma/adapter-pg',
    connect,
    connectToShadowDb: () => { throw new Error('no command of this harness needs a shadow database') },
  }
}
