//! The header of an account: its wrapped key, and the list of its live sign-ins.

use crate::crypto::{
    AccountKey, NONCE_BYTES, OVERHEAD_BYTES, RootKey, SealingKey, TAG_BYTES, fresh, open_in_place,
    seal_in_place, sub_key,
};
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::random_id::{Generation, SignInId};
use crate::model::tag::AccountTag;
use crate::rows::cipher::{FORMAT, Rows};
use crate::rows::codec;
use zeroize::Zeroizing;

/// The content of the header of a live account.
pub(crate) struct Header {
    pub(crate) generation: Generation,
    pub(crate) account_key: AccountKey,
    /// The live sign-ins, oldest first.
    pub(crate) sign_ins: Vec<SignInId>,
    /// The account's other tag, in a store that knows two: see `identity.rs`. It is not in the row.
    pub(crate) other: Option<AccountTag>,
}

impl Rows {
    /// The header row's value. The account key is wrapped anew each time.
    pub(crate) fn seal_header(
        &self,
        key: &[u8],
        header: &Header,
        account: &AccountId,
    ) -> Result<Vec<u8>> {
        let (epoch, root) = self.secrets.current_root();
        let count = u8::try_from(header.sign_ins.len())
            .map_err(|_| Error::invalid("sign-ins", "there are more than 255"))?;
        let (kind, first, second) = account.parts();
        let mut value = vec![FORMAT, b'H'];
        value.extend_from_slice(&epoch.to_be_bytes());
        value.extend_from_slice(header.generation.as_bytes());
        value.push(count);
        header.sign_ins.iter().for_each(|id| value.extend_from_slice(id.as_bytes()));
        let salt = fresh::<SALT_BYTES>()?;
        value.extend_from_slice(&salt);

        // The front is complete: the wrapped key authenticates it, and the body authenticates both.
        let mut wrapped = Zeroizing::new(Vec::with_capacity(WRAPPED_BYTES));
        wrapped.resize(NONCE_BYTES, 0);
        wrapped.extend_from_slice(header.account_key.bytes());
        let aad = self.aad(b"account-key", &header.generation, key, &value);
        seal_in_place(&wrapping_key(root, &salt), &aad, &mut wrapped, 0)?;
        value.extend_from_slice(&wrapped);

        let body = codec::encode(&(kind, first, second), NONCE_BYTES, TAG_BYTES);
        let mut body = body.ok_or_else(|| Error::invalid("account", "it is too long"))?;
        let aad = self.aad(b"account", &header.generation, key, &value);
        seal_in_place(&header.account_key, &aad, &mut body, 0)?;
        value.extend_from_slice(&body);
        Ok(value)
    }

    /// Opens a header: its front and the account key are authentic. [`Rows::open_account`] opens
    /// the account's id, which follows them.
    pub(crate) fn open_header(&self, key: &[u8], value: &[u8]) -> Result<Header> {
        let front = HeaderFront::read(value)?;
        let root = self.secrets.root(front.epoch).ok_or(Error::Tampered("header"))?;
        let mut wrapped = Zeroizing::new(front.wrapped.to_vec());
        let aad = self.aad(b"account-key", &front.generation, key, front.before_wrapped);
        let opened = open_in_place(&wrapping_key(root, front.salt), &aad, &mut wrapped)
            .ok_or(Error::Tampered("header"))?;
        let account_key = AccountKey::try_init(|bytes| {
            bytes.copy_from_slice(opened.first_chunk::<32>().ok_or(Error::Tampered("header"))?);
            Ok(())
        })?;
        Ok(Header {
            generation: front.generation,
            account_key,
            sign_ins: front.sign_ins.iter().copied().map(SignInId::from_bytes).collect(),
            other: None,
        })
    }

    /// The id of the account, from the value of an opened header.
    pub(crate) fn open_account(
        &self,
        key: &[u8],
        value: &[u8],
        header: &Header,
    ) -> Result<AccountId> {
        let front = HeaderFront::read(value)?;
        let aad = self.aad(b"account", &header.generation, key, front.before_body);
        let mut body = Zeroizing::new(front.body.to_vec());
        let body =
            open_in_place(&header.account_key, &aad, &mut body).ok_or(Error::Tampered("header"))?;
        let (kind, first, second) =
            codec::decode::<(u8, &str, &str)>(body).ok_or(Error::Tampered("header"))?;
        AccountId::from_parts(kind, first, second).map_err(|_| Error::Tampered("header"))
    }
}

const SALT_BYTES: usize = 16;

const WRAPPED_BYTES: usize = 32 + OVERHEAD_BYTES;

fn wrapping_key(root: &RootKey, salt: &[u8]) -> SealingKey {
    sub_key(root, &[b"oubliette/v1/account-key", salt])
}

struct HeaderFront<'a> {
    epoch: u32,
    generation: Generation,
    sign_ins: &'a [[u8; 16]],
    salt: &'a [u8],
    wrapped: &'a [u8],
    body: &'a [u8],
    before_wrapped: &'a [u8],
    before_body: &'a [u8],
}

impl<'a> HeaderFront<'a> {
    fn read(value: &'a [u8]) -> Result<Self> {
        let read = || {
            let rest = value.strip_prefix(&[FORMAT, b'H'])?;
            let (epoch, rest) = rest.split_first_chunk()?;
            let (generation, rest) = rest.split_first_chunk()?;
            let (count, rest) = rest.split_first()?;
            let (ids, rest) = rest.split_at_checked(16 * usize::from(*count))?;
            let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
            let before_wrapped = value.get(..value.len() - rest.len())?;
            let (wrapped, body) = rest.split_at_checked(WRAPPED_BYTES)?;
            let before_body = value.get(..value.len() - body.len())?;
            let epoch = u32::from_be_bytes(*epoch);
            let sign_ins = ids.as_chunks().0;
            Some(Self {
                epoch,
                generation: Generation::from_bytes(*generation),
                sign_ins,
                salt,
                wrapped,
                body,
                before_wrapped,
                before_body,
            })
        };
        read().ok_or(Error::Tampered("header"))
    }
}
