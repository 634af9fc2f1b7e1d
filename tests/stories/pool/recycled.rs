//! The statements that `orchestra-operator recycle` prints, as an admin of the server runs them.

use orchestra_sandbox::world::{SYSTEM, World};

use super::admin;
use crate::orphans::command;
use crate::support::{login, scalar, secret};

/// Another login of the server lies in wait for an admin in the database `postgres`, which is open, and where every login may
/// create in `public`, as PostgreSQL 14 has it.
async fn lie_in_wait(world: &World) {
    let open = "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE neighbour LOGIN PASSWORD 'neighbour'";
    admin(world, "postgres", open).await;
    let mut url = url::Url::parse(&world.api.postgres().unwrap().admin_url()).unwrap();
    url.set_username("neighbour").unwrap();
    url.set_password(Some("neighbour")).unwrap();
    sqlx::raw_sql(include_str!("../../fixtures/names_of_a_tenant.sql"))
        .execute(&mut login(url.as_str()).await.unwrap())
        .await
        .unwrap();
}

/// Nothing of that login's has run as an admin.
async fn has_waited_in_vain(world: &World) {
    let mut root = login(&world.api.postgres().unwrap().admin_url()).await.unwrap();
    let risen = "SELECT count(*) FROM pg_roles WHERE rolname = 'neighbour' AND rolsuper";
    assert_eq!(scalar(&mut root, risen).await, 0, "a tenant's function ran as an admin");
    let waits = "SELECT count(*) FROM pg_operator WHERE oprnamespace = 'public'::regnamespace";
    assert_eq!(scalar(&mut root, waits).await, 1);
    let away = "DROP OWNED BY neighbour; DROP ROLE neighbour; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    admin(world, "postgres", away).await;
}

/// Does what the command prints for the first entry, with the password that the entry has.
pub async fn recycle(world: &World) {
    let printed = command(world, &["recycle", "house", "DATABASE_URL_POOL_1"]);
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let entry = secret(world, SYSTEM, "database-pool").await["DATABASE_URL_POOL_1"].clone();
    let password = url::Url::parse(&entry).unwrap().password().unwrap().to_owned();
    assert!(!printed.contains(&password), "{printed}");
    let file = world.dir().join("recycle.sql");
    // psql asks at a terminal.
    let set = format!("ALTER ROLE \"one_owner\" PASSWORD '{password}';");
    std::fs::write(&file, printed.replace("\\password \"one_owner\"", &set)).unwrap();
    let server = world.api.postgres().unwrap();
    let run = || {
        let mut psql = std::process::Command::new(server.program("psql"));
        psql.args(["-X", "-d", &server.admin_url(), "-f"]).arg(&file);
        psql.output().unwrap()
    };
    lie_in_wait(world).await;
    // While the login of an Orchestra reaches the database, of whichever cluster, nothing is dropped.
    let tenant = format!("orchestra_{}", "0".repeat(32));
    let made = format!("CREATE ROLE {tenant}; GRANT CONNECT ON DATABASE one TO {tenant}");
    admin(world, "one", &made).await;
    let stopped = run();
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert!(said.contains("nothing was dropped") && said.contains(&tenant), "{said}");
    let rows = "SELECT count(*) FROM pg_tables WHERE tablename = 'Member'";
    let url = server.admin_url().replace("/postgres?", "/one?");
    assert_eq!(scalar(&mut login(&url).await.unwrap(), rows).await, 1);
    admin(world, "one", &format!("DROP OWNED BY {tenant}; DROP ROLE {tenant}")).await;
    let done = run();
    assert!(done.status.success(), "{done:?}");
    has_waited_in_vain(world).await;
}
