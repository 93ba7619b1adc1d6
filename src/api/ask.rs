//! A request to one object, unpacked.

use http::request::Parts;

use super::{ApiState, headers, path};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::object::{ClassName, Key, ObjectAddress, ObjectName, Tenant};
use crate::runtime::{Action, Answer, Request};

/// A request to one object: who asks, what for, under which conditions.
pub(super) struct Ask {
    pub(super) caller: Caller,
    pub(super) address: ObjectAddress,
    pub(super) head: Parts,
}

impl Ask {
    /// Unpacks `/v1/objects/{class}/{name}…`.
    pub(super) fn of(mut head: Parts) -> Result<Self, Error> {
        let caller = take_caller(&mut head);
        let class = class_in(&head)?;
        let name = part(&head, 3)?;
        let name =
            ObjectName::parse(&name).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?;
        let tenant = tenant_of(&caller)?;
        Ok(Self { caller, address: ObjectAddress::new(tenant, class, name), head })
    }

    /// The key at the end of the path.
    pub(super) fn key(&self) -> Result<Key, Error> {
        Key::parse(&part(&self.head, 5)?).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))
    }

    /// The method at the end of the path.
    pub(super) fn method(&self) -> Result<String, Error> {
        part(&self.head, 5)
    }

    /// The request under the conditions that its headers name.
    pub(super) fn request(&self, action: Action) -> Result<Request, Error> {
        let headers = &self.head.headers;
        Ok(Request {
            action,
            idempotency_key: headers::idempotency_key(headers)?,
            if_match: headers::if_match(headers)?,
            context: None,
        })
    }

    /// Asks the object.
    ///
    /// The head is let go first: it lies in the connection's read buffer, and while somebody holds it,
    /// the connection takes a new buffer to listen on.
    pub(super) async fn answer(&mut self, api: &ApiState, action: Action) -> Result<Answer, Error> {
        let request = self.request(action)?;
        drop((std::mem::take(&mut self.head.headers), std::mem::take(&mut self.head.uri)));
        self.head.extensions.clear();
        api.runtime().call(&self.caller, &self.address, request).await
    }
}

/// The caller that the front put into every request.
pub(super) fn take_caller(head: &mut Parts) -> Caller {
    head.extensions.remove().expect("the front puts a caller into every request")
}

/// The class in `/v1/objects/{class}…`.
pub(super) fn class_in(head: &Parts) -> Result<ClassName, Error> {
    ClassName::parse(&part(head, 2)?).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))
}

/// The tenant that a caller belongs to.
pub(super) fn tenant_of(caller: &Caller) -> Result<Tenant, Error> {
    Tenant::try_from(caller.tenant.clone()).map_err(|error| Error::new(Code::Forbidden, error.to_string()))
}

/// A part of the path, decoded.
pub(super) fn part(head: &Parts, index: usize) -> Result<String, Error> {
    let malformed = |error| Error::new(Code::InvalidRequest, format!("in the path: {error}"));
    path::decode(path::part(head.uri.path(), index)).map(std::borrow::Cow::into_owned).map_err(malformed)
}
