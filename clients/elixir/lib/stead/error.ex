defmodule Stead.Error do
  @moduledoc """
  Why something was not answered with `{:ok, _}`.

  `retry` says whether the same may be asked again, and is the field to decide by:

    * `:safe` - it surely did not happen; ask again after a pause
    * `:unknown` - it may have happened; look first, or ask again with the idempotency key it had
    * `:never` - the same again gives the same

  `code` is the server's stable word (`"object_not_found"`, `"version_mismatch"`, ...) or, where no server
  answered, one of this package's own:

    * `"connection_failed"` - no server could be reached (`:safe`)
    * `"connection_lost"` - the connection broke before the answer came (`:unknown` for what writes)
    * `"timeout"` - the answer did not come in time (`:unknown` for what writes)
    * `"invalid_response"` - what came is not an answer of a server of this kind
    * `"invalid_request"` - refused here already, nothing was sent
    * `"closed"` - the socket is closed for good

  `status` is the HTTP status, `nil` where there was none. It is an exception too: `raise error` works.
  """

  @typedoc "Whether the same may be asked again."
  @type retry :: :safe | :unknown | :never

  @type t :: %__MODULE__{
          status: non_neg_integer() | nil,
          code: String.t(),
          detail: String.t(),
          retry: retry(),
          retry_after_ms: non_neg_integer() | nil
        }

  defexception status: nil, code: "internal", detail: "", retry: :unknown, retry_after_ms: nil

  @impl true
  def message(%__MODULE__{code: code, detail: detail}), do: "#{code}: #{detail}"

  @doc """
  The atom by which clients of Cloudflare's worker know an error, for code that matches on it.

      iex> Stead.Error.reason(%Stead.Error{status: 404, code: "key_not_found"})
      :not_found
      iex> Stead.Error.reason(%Stead.Error{code: "connection_failed"})
      :network_error
  """
  @spec reason(t()) :: atom()
  def reason(%__MODULE__{status: 400}), do: :invalid_request
  def reason(%__MODULE__{status: 401}), do: :unauthorized
  def reason(%__MODULE__{status: 404}), do: :not_found
  def reason(%__MODULE__{status: 429}), do: :rate_limited
  def reason(%__MODULE__{status: 500}), do: :server_error
  def reason(%__MODULE__{status: status}) when is_integer(status) and status >= 300, do: :http_error
  def reason(%__MODULE__{code: "invalid_response"}), do: :invalid_response
  def reason(%__MODULE__{code: "invalid_request"}), do: :invalid_request
  def reason(%__MODULE__{}), do: :network_error

  @doc false
  @spec invalid(String.t()) :: t()
  def invalid(detail), do: %__MODULE__{code: "invalid_request", detail: detail, retry: :never}

  @doc false
  # What the server wrote as text: "safe", "unknown", "never".
  @spec parse_retry(term(), retry()) :: retry()
  def parse_retry("safe", _otherwise), do: :safe
  def parse_retry("unknown", _otherwise), do: :unknown
  def parse_retry("never", _otherwise), do: :never
  def parse_retry(_other, otherwise), do: otherwise
end
