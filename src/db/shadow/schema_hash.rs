//! The hash of the schema that migrations make: equal for equal schemas, whatever order they were
//! made in.

use super::ports::{Database, SqlError};
use crate::base::digest::Digest;
use crate::db::catalog::lines::{self, OF_SUPABASE};

/// Reads the catalogs and hashes them.
pub(crate) async fn schema_hash(database: &dyn Database) -> Result<Digest, SqlError> {
    Ok(lines::hash(&lines::read(database, &OF_SUPABASE).await?))
}
