//! Between Rust's types and the values of a user's SQL.

use bowline_model::{Error, Result};

use crate::{SqlRow, SqlValue};

/// What a statement's parameters are given as: `()`, an array or a vector of one type, a tuple of several.
///
/// ```
/// use bowline_store::{SqlParams, SqlValue};
///
/// assert_eq!((7, "tea", None::<f64>).into_values()[2], SqlValue::Null);
/// assert_eq!(["a", "b"].into_values().len(), 2);
/// ```
pub trait SqlParams {
    /// The values of `?1`, `?2` and so on.
    fn into_values(self) -> Vec<SqlValue>;
}

impl SqlParams for () {
    fn into_values(self) -> Vec<SqlValue> {
        vec![]
    }
}

impl<T: Into<SqlValue>> SqlParams for Vec<T> {
    fn into_values(self) -> Vec<SqlValue> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<SqlValue>, const N: usize> SqlParams for [T; N] {
    fn into_values(self) -> Vec<SqlValue> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($(($($of:ident $place:tt),+))+) => {
        $(impl<$($of: Into<SqlValue>),+> SqlParams for ($($of,)+) {
            fn into_values(self) -> Vec<SqlValue> {
                vec![$(self.$place.into()),+]
            }
        })+
    };
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}

macro_rules! whole_numbers {
    ($($number:ty)+) => {
        $(impl From<$number> for SqlValue {
            fn from(number: $number) -> Self {
                Self::Integer(i64::from(number))
            }
        }

        impl FromSqlValue for $number {
            const WANTS: &'static str = stringify!($number);

            fn from_value(value: &SqlValue) -> Option<Self> {
                match value {
                    SqlValue::Integer(number) => Self::try_from(*number).ok(),
                    SqlValue::Null | SqlValue::Real(_) | SqlValue::Text(_) | SqlValue::Blob(_) => None,
                }
            }
        })+
    };
}

whole_numbers! { i8 i16 i32 i64 u8 u16 u32 }

impl From<bool> for SqlValue {
    /// 1 or 0, as SQLite has it.
    fn from(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }
}

impl From<f64> for SqlValue {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for SqlValue {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column's value can be read as.
pub trait FromSqlValue: Sized {
    /// What it is called in an error.
    const WANTS: &'static str;

    /// The value, if it is of that type.
    fn from_value(value: &SqlValue) -> Option<Self>;
}

impl FromSqlValue for bool {
    const WANTS: &'static str = "bool (1 or 0)";

    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Integer(0) => Some(false),
            SqlValue::Integer(1) => Some(true),
            SqlValue::Integer(_)
            | SqlValue::Null
            | SqlValue::Real(_)
            | SqlValue::Text(_)
            | SqlValue::Blob(_) => None,
        }
    }
}

impl FromSqlValue for f64 {
    const WANTS: &'static str = "f64";

    /// A whole number too: SQLite stores 2.0 in a column without a type as 2.
    #[allow(clippy::cast_precision_loss, reason = "as SQLite itself compares them")]
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Real(number) => Some(*number),
            SqlValue::Integer(number) => Some(*number as f64),
            SqlValue::Null | SqlValue::Text(_) | SqlValue::Blob(_) => None,
        }
    }
}

impl FromSqlValue for String {
    const WANTS: &'static str = "String";

    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Text(text) => Some(text.clone()),
            SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) | SqlValue::Blob(_) => None,
        }
    }
}

impl FromSqlValue for Vec<u8> {
    const WANTS: &'static str = "Vec<u8>";

    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Blob(bytes) => Some(bytes.clone()),
            SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) | SqlValue::Text(_) => None,
        }
    }
}

impl FromSqlValue for SqlValue {
    const WANTS: &'static str = "any value";

    fn from_value(value: &SqlValue) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromSqlValue> FromSqlValue for Option<T> {
    const WANTS: &'static str = T::WANTS;

    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            some @ (SqlValue::Integer(_) | SqlValue::Real(_) | SqlValue::Text(_) | SqlValue::Blob(_)) => {
                T::from_value(some).map(Some)
            }
        }
    }
}

impl SqlRow {
    /// The value of the column with that name; the first of several. `Option` for one that may be NULL.
    ///
    /// # Errors
    /// If there is no such column, or it holds another type.
    ///
    /// ```
    /// use bowline_store::{SqlRow, SqlValue};
    ///
    /// let row = SqlRow::new(["item".to_owned(), "price".to_owned()].into(), vec!["tea".into(), SqlValue::Null]);
    /// assert_eq!(row.get::<String>("item")?, "tea");
    /// assert_eq!(row.get::<Option<f64>>("price")?, None);
    /// assert!(row.get::<f64>("price").is_err() && row.get::<i64>("pric").is_err());
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn get<T: FromSqlValue>(&self, name: &str) -> Result<T> {
        let Some(value) = self.value(name) else {
            let names = self.names().join(", ");
            return Err(Error::refused(format!("the query has no column {name}; it has {names}")));
        };
        T::from_value(value).ok_or_else(|| {
            let holds = match value {
                SqlValue::Null => "NULL",
                SqlValue::Integer(_) => "a whole number",
                SqlValue::Real(_) => "a floating-point number",
                SqlValue::Text(_) => "text",
                SqlValue::Blob(_) => "bytes",
            };
            Error::refused(format!("column {name} holds {holds}, which is no {} here", T::WANTS))
        })
    }
}
