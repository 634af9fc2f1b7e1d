// Drives a Management API with supabase-management-js, and prints what it found as one JSON object.
import { SupabaseManagementAPI } from "supabase-management-js";

const api = new SupabaseManagementAPI({
  accessToken: process.env.SUPABASE_ACCESS_TOKEN,
  baseUrl: process.env.SUPABASE_API_URL,
});
const found = {};

/** The data of an answer, which must have this status. */
async function ok(status, answer) {
  const { data, status: actual } = await answer;
  if (actual !== status) throw new Error(`${actual} instead of ${status}: ${JSON.stringify(data)}`);
  return data;
}

async function becomes(ref, status) {
  for (let tries = 0; tries < 200; tries++) {
    if ((await ok(200, api.getProject(ref))).status === status) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the project did not become ${status}`);
}

const organization = (await ok(200, api.listAllOrganizations()))[0].slug;
await ok(200, api.getAnOrganization(organization));
const created = await ok(201, api.createAProject({
  name: "library",
  organization_slug: organization,
  db_pass: "Owner-password.1",
  region_selection: { type: "specific", code: "eu-central-1" },
}));
const ref = created.ref;
await becomes(ref, "ACTIVE_HEALTHY");
const services = ["db", "auth", "pooler"];
found.health = (await ok(200, api.getServicesHealth(ref, { services }))).map((it) => it.status);
found.query = await ok(201, api.runAQuery(ref, { query: "SELECT 1 AS one" }));
await ok(200, api.applyAMigration(ref, { query: "CREATE TABLE public.part (id int)", name: "part" }));
found.migrations = (await ok(200, api.listMigrationHistory(ref))).map((it) => it.name);
found.read = await ok(201, api.readOnlyQuery(ref, { query: "SELECT count(*) FROM public.part" }));

await ok(200, api.updateProjectLegacyApiKeys(ref, { enabled: false }));
found.legacy = await ok(200, api.getProjectLegacyApiKeys(ref));
found.keys = (await ok(200, api.getProjectApiKeys(ref, { reveal: true }))).map((it) => `${it.type} ${it.name}`);
const key = await ok(201, api.createProjectApiKey(ref, { type: "secret", name: "worker" }, { reveal: true }));
found.key = (await ok(200, api.updateProjectApiKey(ref, key.id, { description: "of a worker" }))).description;
await ok(200, api.deleteProjectApiKey(ref, key.id));

found.pool = await ok(200, api.updatePoolerConfig(ref, { default_pool_size: 20 }));
found.pooler = (await ok(200, api.getPoolerConfig(ref)))[0].default_pool_size;
await ok(200, api.updatePostgrestServiceConfig(ref, { max_rows: 5 }));
found.rows = (await ok(200, api.getPostgrestServiceConfig(ref))).max_rows;
await ok(200, api.updateAuthServiceConfig(ref, { smtp_pass: "top-secret", site_url: "https://example.org" }));
const auth = await ok(200, api.getAuthServiceConfig(ref));
found.auth = [auth.site_url, auth.smtp_pass !== "top-secret"];
await ok(200, api.updateStorageConfig(ref, { fileSizeLimit: 1024 }));
found.storage = (await ok(200, api.getStorageConfig(ref))).fileSizeLimit;
await ok(201, api.bulkCreateSecrets(ref, [{ name: "ONE", value: "top-secret" }]));
found.secrets = (await ok(200, api.listAllSecrets(ref))).map((it) => [it.name, it.value !== "top-secret"]);
await ok(201, api.updateNetworkRestrictions(ref, { dbAllowedCidrs: ["203.0.113.0/24"] }));
found.restrictions = (await ok(200, api.getNetworkRestrictions(ref))).config.dbAllowedCidrs;
found.ssl = await ok(200, api.updateSslEnforcementConfig(ref, { requestedConfig: { database: true } }));
found.readonly = (await ok(200, api.getReadonlyModeStatus(ref))).enabled;
found.usage = (await ok(200, api.getProjectUsageApiCount(ref, { interval: "1day" }))).result.length > 0;
found.advisors = (await ok(200, api.getSecurityAdvisors(ref))).lints.map((it) => it.name);

await ok(200, api.applyProjectAddon(ref, { addon_type: "compute_instance", addon_variant: "ci_small" }));
found.resizing = (await ok(200, api.getProject(ref))).status;
await becomes(ref, "ACTIVE_HEALTHY");
found.addons = (await ok(200, api.listProjectAddons(ref))).selected_addons.map((it) => it.variant.id);
found.deleted = (await ok(200, api.deleteAProject(ref))).ref === ref;
console.log(JSON.stringify(found));
