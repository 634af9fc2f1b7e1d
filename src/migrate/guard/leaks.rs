//! `SECURITY DEFINER` functions that return rows: a role that may call one reads rows with the rights of the function's owner.

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::protobuf::{AlterFunctionStmt, GrantStmt, GrantTargetType, ObjectType, RoleSpecType};
use pg_query::{Node, NodeEnum};

use super::allowance::OBJECT;
use super::definitions::{Definition, Returns};
use super::finding::{Finding, FindingKind};
use super::judge::Judge;
use super::known::Existence;
use super::known_code::Leak;
use super::names::{Name, dotted, is_on, strings};
use super::roles::{is_anon, roles};
use super::signatures;
use crate::api::Effect;

/// The finding for a function that everybody may call.
const CALLABLE: &str = "SECURITY DEFINER, which PUBLIC may execute and which returns rows of";

/// The most functions whose calls are followed from one statement.
const FOLLOWED: usize = 100;

/// Judges a statement that creates such a function, or that changes who may call it.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::CreateFunctionStmt(it) if is_on(&it.options, "security") => {
            tell(judge, &Definition::from(it.as_ref()), "CREATE FUNCTION", it.replace);
        }
        NodeEnum::AlterFunctionStmt(it) if is_on(&it.actions, "security") => alter(judge, it),
        NodeEnum::GrantStmt(it) if !it.is_grant => close(judge, it),
        _ => {}
    }
}

/// Reports a function. `kept`: it may have existed before, and keeps the grants that it had.
fn tell(judge: &mut Judge<'_>, it: &Definition, words: &str, kept: bool) {
    let Some(source) = shown(judge, it) else { return };
    let before = judge.known.code.routines(&Name::of(it.name.clone()));
    let granted = kept && (judge.known.code.anon_granted || before.iter().any(|routine| routine.anon));
    let (name, arguments) = (dotted(&it.name), it.arguments.clone());
    let with = if arguments.is_empty() {
        String::new()
    } else {
        format!("({arguments})")
    };
    let statement = format!("{words} {name}{with} {CALLABLE} {source}");
    judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, &name, statement.clone());
    let code = &mut judge.known.code;
    if code
        .allowance
        .remember(OBJECT + name.len() + arguments.len() + statement.len())
    {
        code.leaks.push(Leak {
            name: Name::of(it.name.clone()),
            arguments,
            statement,
            public: true,
            anon: code.anon_executes || granted,
        });
    }
}

/// The definitions of the functions that a name can mean, in the scripts and in the database.
fn definitions(judge: &mut Judge<'_>, name: &Name) -> Vec<Arc<[Definition]>> {
    let code = &mut judge.known.code;
    let routines = code.routines(name).into_iter();
    let texts: Vec<_> = routines.filter_map(|routine| routine.definition).collect();
    texts.iter().map(|text| code.defined(text)).collect()
}

/// The functions among the definitions that have arguments of these types; all of them if no types are given.
fn functions<'a>(
    definitions: &'a [Arc<[Definition]>],
    arguments: Option<&'a String>,
) -> impl Iterator<Item = &'a Definition> {
    let all = definitions.iter().flat_map(|read| read.iter());
    all.filter(move |it| arguments.is_none_or(|arguments| *arguments == it.arguments))
}

fn alter(judge: &mut Judge<'_>, it: &AlterFunctionStmt) {
    let Some(function) = &it.func else { return };
    let (name, arguments) = (Name::of(strings(&function.objname)), signatures::of_object(function));
    let definitions = definitions(judge, &name);
    for made in functions(&definitions, arguments.as_ref()) {
        tell(judge, made, "ALTER FUNCTION", true);
    }
}

/// Whether the function that a `GRANT` names shows rows to roles that may call it.
pub fn is_leak(judge: &mut Judge<'_>, object: &Node) -> bool {
    let name = Name::of(strings(std::slice::from_ref(object)));
    let arguments = signatures::named(Some(object));
    let leaks = &judge.known.code.leaks;
    if !judge.known.code.allowance.work(leaks.len()) {
        return true;
    }
    if leaks.iter().any(|leak| is_one(judge, leak, &name, arguments.as_ref())) {
        return true;
    }
    let definitions = definitions(judge, &name);
    functions(&definitions, arguments.as_ref()).any(|it| it.definer && shown(judge, it).is_some())
}

/// Whether the scripts create such a function in a schema, or the database has a `SECURITY DEFINER` function there that is
/// closed so far.
pub fn is_leak_in(judge: &Judge<'_>, schema: &str) -> bool {
    if judge.known.code.shut_functions.contains(schema) {
        return true;
    }
    let schema = Some(schema.to_owned());
    let mut leaks = judge.known.code.leaks.iter();
    leaks.any(|leak| leak.name.schema.is_none() || leak.name.schema == schema)
}

fn is_one(judge: &Judge<'_>, leak: &Leak, name: &Name, arguments: Option<&String>) -> bool {
    leak.name.name == name.name
        && arguments.is_none_or(|arguments| *arguments == leak.arguments)
        && judge
            .known
            .is_same_schema(leak.name.schema.as_ref(), name.schema.as_ref())
}

/// Removes the findings of functions that the same script certainly closes to everybody, in the transaction that makes them.
fn close(judge: &mut Judge<'_>, it: &GrantStmt) {
    let functions = matches!(
        it.objtype(),
        ObjectType::ObjectFunction | ObjectType::ObjectRoutine | ObjectType::ObjectProcedure
    );
    let public = roles(&it.grantees).any(|role| role.roletype() == RoleSpecType::RolespecPublic);
    let anon = roles(&it.grantees).any(is_anon);
    if !functions || it.grant_option || !judge.is_certain() || judge.keeps_parts() {
        return;
    }
    let all = it.targtype() == GrantTargetType::AclTargetAllInSchema;
    let allowance = &judge.known.code.allowance;
    let pairs = judge.known.code.leaks.len() * (it.objects.len() + judge.findings.len());
    if !allowance.work(pairs) {
        return;
    }
    let mut leaks = judge.known.code.leaks.clone();
    for object in &it.objects {
        let named = strings(std::slice::from_ref(object));
        let arguments = signatures::named(Some(object));
        for leak in &mut leaks {
            let meant = if all {
                judge.known.is_same_schema(leak.name.schema.as_ref(), named.last())
            } else {
                is_one(judge, leak, &Name::of(named.clone()), arguments.as_ref())
            };
            leak.public &= !(meant && public);
            leak.anon &= !(meant && anon);
        }
    }
    let here = judge.migration().unwrap_or_default().to_owned();
    let closed = |found: &Finding| {
        let mut shut = leaks.iter().filter(|leak| !leak.public && !leak.anon);
        found.kind == FindingKind::SecurityDefiner
            && found.migration == here
            && shut.any(|leak| found.statement.ends_with(&leak.statement))
    };
    judge.take_back(closed);
    judge.known.code.leaks = leaks;
}

/// The first relation whose rows a function shows. A function that returns one text shows rows if its query gathers them, or has
/// no condition on a column.
fn shown(judge: &mut Judge<'_>, it: &Definition) -> Option<String> {
    let body = it.body.as_ref().filter(|_| it.returns != Returns::Other)?;
    for part in &body.parts {
        let mut read = part.relations.clone();
        read.extend(read_by(judge, part.calls.clone()));
        if (it.returns == Returns::Rows || part.gathers || !part.bounded)
            && let Some(source) = source(judge, &read)
        {
            return Some(source.to_string());
        }
    }
    body.computed.then(|| "what a computed text says".to_owned())
}

/// The relations that these functions read, and that the functions which they call read.
pub fn read_by(judge: &mut Judge<'_>, calls: Vec<Name>) -> Vec<Name> {
    let (mut read, mut seen, mut left) = (Vec::new(), BTreeSet::new(), calls);
    while let Some(name) = left.pop() {
        if seen.len() >= FOLLOWED || !seen.insert(name.clone()) {
            continue;
        }
        let definitions = definitions(judge, &name);
        let bodies = functions(&definitions, None).filter_map(|it| it.body.as_ref());
        for part in bodies.flat_map(|body| &body.parts) {
            let names = part.relations.len() + part.calls.len();
            if !judge.known.code.allowance.work(names) {
                return read;
            }
            read.extend(part.relations.iter().cloned());
            left.extend(part.calls.iter().cloned());
        }
    }
    read
}

/// The first of these relations that shows existing rows, unless everybody can read them already.
pub fn source(judge: &mut Judge<'_>, relations: &[Name]) -> Option<Name> {
    let shows = |name: &&Name| {
        let filled = matches!(judge.known.presence(name), Existence::There { filled: true, .. });
        (filled || judge.known.marks(name).shows) && !judge.known.readers(name).bare
    };
    relations.iter().find(shows).cloned()
}
