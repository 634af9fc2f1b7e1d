// Prisma's CLI with its bundled WebAssembly schema engine (engine: 'js'): no native engine is downloaded.
import { defineConfig } from 'prisma/config'
import { adapter } from './adapter.mjs'

export default defineConfig({
  experimental: { adapter: true },
  engine: 'js',
  schema: 'schema.prisma',
  migrations: { path: process.env.MIGRATIONS_DIR ?? 'migrations' },
  adapter: async () => adapter(process.env.DATABASE_URL) as any,
})
