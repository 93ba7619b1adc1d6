//! Tagged fields: tag, length, content. Numbers are LEB128, seven bits a byte, the lowest first.

use super::CodecError;

/// Writes fields one after another.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(format: u8) -> Self {
        let mut bytes = Vec::with_capacity(192);
        bytes.push(format);
        Self { bytes }
    }

    pub(super) fn empty() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// A field whose default is 0.
    pub(super) fn number(&mut self, tag: u8, number: u64) {
        if number != 0 {
            self.optional_number(tag, Some(number));
        }
    }

    pub(super) fn optional_number(&mut self, tag: u8, number: Option<u64>) {
        if let Some(number) = number {
            self.numbers(tag, &[number]);
        }
    }

    pub(super) fn numbers(&mut self, tag: u8, numbers: &[u64]) {
        self.nested(tag, |content| {
            for &number in numbers {
                content.varint(number);
            }
        });
    }

    /// A field that is there or not.
    pub(super) fn flag(&mut self, tag: u8, is_set: bool) {
        if is_set {
            self.bytes(tag, &[]);
        }
    }

    pub(super) fn bytes(&mut self, tag: u8, content: &[u8]) {
        self.bytes.push(tag);
        self.sized(content);
    }

    /// A field whose content is written by `write`.
    pub(super) fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Writer)) {
        self.bytes.push(tag);
        let start = self.bytes.len();
        // Most contents are short: room for one byte of length, moved only where it needs more.
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - start - 1;
        if let (Ok(short @ 0..0x80), Some(place)) = (u8::try_from(length), self.bytes.get_mut(start)) {
            *place = short;
        } else {
            let mut sized = Writer::empty();
            sized.varint(length as u64);
            self.bytes.splice(start..=start, sized.bytes);
        }
    }

    /// A length and as many bytes.
    pub(super) fn sized(&mut self, content: &[u8]) {
        self.varint(content.len() as u64);
        self.raw(content);
    }

    pub(super) fn raw(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }
}

/// Reads fields one after another, never beyond the bytes it was given.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], known_format: u8) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&format, rest)) if format == known_format => Ok(Self { rest }),
            Some((&format, _)) => Err(CodecError::UnknownFormat(format)),
            None => Err(CodecError::Damaged("no bytes at all")),
        }
    }

    /// The next field; none at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u8, Field<'a>)>, CodecError> {
        let Some((&tag, rest)) = self.rest.split_first() else { return Ok(None) };
        let mut field = Field { rest };
        let content = field.sized()?;
        self.rest = field.rest;
        Ok(Some((tag, Field { rest: content })))
    }
}

/// The content of one field.
pub(super) struct Field<'a> {
    rest: &'a [u8],
}

impl<'a> Field<'a> {
    /// All that is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn text(&self) -> Result<&'a str, CodecError> {
        read_text(self.rest)
    }

    /// A field that says something by being there.
    pub(super) fn flag(&self) -> Result<bool, CodecError> {
        if self.rest.is_empty() { Ok(true) } else { Err(CodecError::Damaged("a flag with a content")) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (&byte, rest) = self.rest.split_first().ok_or(CodecError::Damaged("a field ends too early"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, CodecError> {
        let [number] = self.numbers()?;
        Ok(number)
    }

    /// So many numbers and nothing after them.
    pub(super) fn numbers<const N: usize>(&mut self) -> Result<[u64; N], CodecError> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.varint()?;
        }
        if self.rest.is_empty() { Ok(numbers) } else { Err(CodecError::Damaged("a field goes on too long")) }
    }

    /// A length and as many bytes.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], CodecError> {
        let early = CodecError::Damaged("a field ends too early");
        let length = usize::try_from(self.varint()?).map_err(|_| early)?;
        let (content, rest) = self.rest.split_at_checked(length).ok_or(early)?;
        self.rest = rest;
        Ok(content)
    }

    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CodecError::Damaged("a number beyond 64 bits"))
    }
}

/// The bytes as text.
pub(super) fn read_text(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| CodecError::Damaged("not UTF-8"))
}
