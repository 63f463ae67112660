//! STUB
use super::tag_rc::SharedRepository;
use crate::release::ports::RepositoryError;
use crate::release::version::{History, Next};
pub(crate) struct Made {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) notes: String,
}
pub(crate) async fn make(
    _: &SharedRepository,
    _: (&Next, &History),
    _: (String, Vec<String>),
    _: (String, String),
) -> Result<Made, RepositoryError> {
    Ok(Made { files: Vec::new(), notes: String::new() })
}
