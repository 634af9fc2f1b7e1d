//! The user's seed, checked before the operator connects to a database.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::csv::SeedTable;
use super::variables::{Rendered, SeedVariables};
use crate::migrate::aside::in_place;
use crate::migrate::content::{Content, MemoryPermit};
use crate::migrate::lexer::{self, LexError, Variable};
use crate::migrate::mode::check_seed;
use crate::migrate::script_text;
use crate::migrate::source_error::SourceError;

/// The scripts and tables of a seed, in the order of their files' names.
#[derive(Clone, Debug)]
pub struct SeedSource {
    parts: Vec<SeedPart>,
    digest: String,
    permit: MemoryPermit,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) enum SeedPart {
    Script(Script),
    Table(SeedTable),
}

impl SeedPart {
    /// Name of its file.
    pub(super) fn file(&self) -> &str {
        match self {
            Self::Script(script) => &script.file,
            Self::Table(table) => &table.file,
        }
    }

    /// SHA-256 of its content, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        match self {
            Self::Script(script) => script.hash(),
            Self::Table(table) => table.hash(),
        }
    }
}

/// A script of a seed.
#[derive(Clone, Debug)]
pub struct Script {
    /// Name of its file.
    pub file: String,
    text: Arc<String>,
    variables: Vec<Variable>,
}

impl SeedSource {
    /// Reads the files `*.sql` and `*.csv`; other files are ignored: the search for the files refuses those that could be a
    /// part of the seed.
    ///
    /// # Errors
    /// The first file that cannot be used, see [`SourceError`].
    pub fn read(files: Vec<(String, impl Into<Content>)>) -> Result<Self, SourceError> {
        Self::of(
            files
                .into_iter()
                .map(|(file, content)| (file, content.into()))
                .collect(),
        )
    }

    fn of(mut files: Vec<(String, Content)>) -> Result<Self, SourceError> {
        files.retain(|(file, _)| file_type(file).is_some());
        files.sort();
        if let Some(twice) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(SourceError::file(&twice[0].0, "this file of the seed appears twice"));
        }
        if files.is_empty() {
            return Err(SourceError::file("the seed", "it holds neither a .sql nor a .csv file"));
        }
        let (mut hash, mut parts) = (Sha256::new(), Vec::new());
        for (file, content) in files {
            update(&mut hash, file.as_bytes());
            update(&mut hash, content.as_bytes());
            parts.push(match file_type(&file) {
                Some(FileType::Csv) => SeedPart::Table(SeedTable::read(&file, &content)?),
                _ => SeedPart::Script(Script::read(&file, content)?),
            });
        }
        Ok(Self {
            parts,
            permit: MemoryPermit::default(),
            digest: format!("sha256:{}", hex::encode(hash.finalize())),
        })
    }

    /// Holds the memory of the source until it is dropped.
    #[must_use]
    pub fn with_permit(self, permit: MemoryPermit) -> Self {
        Self { permit, ..self }
    }

    /// Whether it is one of the large sources, of which few are in memory at a time.
    pub fn is_large(&self) -> bool {
        self.permit.is_large()
    }

    /// Digest of the files' names and contents and of the names and values of the variables that scripts use:
    /// `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// A script uses a variable without a usable value.
    pub fn digest(&self, variables: &SeedVariables) -> Result<String, SourceError> {
        let mut used = Vec::new();
        for script in self.scripts() {
            for (variable, value) in script.values(variables)? {
                used.push((&variable.name, value));
            }
        }
        if used.is_empty() {
            return Ok(self.digest.clone());
        }
        used.sort_unstable();
        used.dedup();
        let mut hash = Sha256::new();
        update(&mut hash, self.digest.as_bytes());
        for (name, value) in used {
            update(&mut hash, name.as_bytes());
            update(&mut hash, value.as_bytes());
        }
        Ok(format!("sha256:{}", hex::encode(hash.finalize())))
    }

    pub(super) fn parts(&self) -> &[SeedPart] {
        &self.parts
    }

    pub(super) fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.parts.iter().filter_map(|part| match part {
            SeedPart::Script(script) => Some(script),
            SeedPart::Table(_) => None,
        })
    }
}

impl Script {
    /// Reads a script, and checks its text, that no statement leaves the seed's transaction, and that its variables
    /// are quoted.
    ///
    /// # Errors
    /// Where and why it cannot be used.
    pub fn read(file: &str, content: impl Into<Content>) -> Result<Self, SourceError> {
        let text = script_text::decode(file, &content.into())?;
        check_seed(file, &text)?;
        let variables =
            lexer::variables(&text).map_err(|LexError { at, what }| SourceError::text(file, &text, at, what))?;
        Ok(Self {
            file: file.to_owned(),
            text,
            variables,
        })
    }

    /// Inserts the values of the script's variables.
    ///
    /// # Errors
    /// Where the script uses a variable without a usable value.
    pub fn render(&self, variables: &SeedVariables) -> Result<Rendered, SourceError> {
        in_place(self.text.len(), || {
            Ok(Rendered::new(&self.text, self.values(variables)?.into_iter()))
        })
    }

    pub(super) fn text(&self) -> &Arc<String> {
        &self.text
    }

    /// Whether it uses no variable.
    pub(super) fn is_constant(&self) -> bool {
        self.variables.is_empty()
    }

    /// SHA-256 of its bytes, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        in_place(self.text.len(), || hex::encode(Sha256::digest(self.text.as_bytes())))
    }

    fn values<'a>(&'a self, variables: &'a SeedVariables) -> Result<Vec<(&'a Variable, &'a str)>, SourceError> {
        let value = |variable| Ok((variable, variables.value(&self.file, &self.text, variable)?));
        self.variables.iter().map(value).collect()
    }
}

#[derive(Clone, Copy)]
enum FileType {
    Sql,
    Csv,
}

fn file_type(file: &str) -> Option<FileType> {
    let (name, extension) = file.rsplit('/').next()?.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        _ if name.is_empty() => None,
        "sql" => Some(FileType::Sql),
        "csv" => Some(FileType::Csv),
        _ => None,
    }
}

/// Hashes a part with its length, so that different lists of parts have different digests.
fn update(hash: &mut Sha256, part: &[u8]) {
    hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(part);
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
