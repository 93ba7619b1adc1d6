defmodule Stead.Request do
  @moduledoc false
  # From a call of this package to an answer: servers in turn, retries within bounds, errors as `Stead.Error`.
  #
  # A request is sent again only where that cannot do a thing twice: it was surely not sent, or the server says
  # `retry: safe`; or it is a read, or has an idempotency key, under which the server does it once however
  # often it comes.

  alias Stead.{Answer, Backoff, Error, HTTP, Server}

  # How long a call may take with all its retries, in milliseconds.
  @timeout_ms 15_000
  # Attempts after the first.
  @retries 3
  # The pause before the first retry, in milliseconds; it doubles.
  @pause_ms 100
  @pause_max_ms 2_000
  # Which server answered last, by list of servers.
  @table __MODULE__

  @type effect :: :read | :write
  @type options :: [
          servers: String.t() | [String.t()],
          worker_url: String.t() | [String.t()],
          token: String.t(),
          tls: keyword(),
          timeout: pos_integer(),
          retries: non_neg_integer(),
          idempotency_key: String.t() | :generate,
          if_match: non_neg_integer()
        ]

  @doc "Sends a request, and reads its answer."
  @spec run(effect(), String.t(), String.t(), term(), options()) ::
          {:ok, term(), %{String.t() => String.t()}} | {:error, Error.t()}
  def run(effect, verb, path, body, options) do
    with {:ok, servers} <- Server.parse_all(servers(options)),
         {:ok, text} <- encode(body),
         {:ok, key} <- idempotency_key(options) do
      asked = %{
        request: %{verb: verb, path: path, headers: headers(text, key, options), body: text},
        repeatable?: effect == :read or key != nil,
        servers: servers,
        deadline: HTTP.now() + Keyword.get(options, :timeout, @timeout_ms),
        retries: Keyword.get(options, :retries, @retries),
        tls: Keyword.get(options, :tls, Application.get_env(:stead, :tls, []))
      }

      attempt(asked, preferred(servers), 0)
    end
  end

  @doc "The addresses that options name, or the configuration."
  @spec servers(options()) :: String.t() | [String.t()] | nil
  def servers(options) do
    options[:servers] || options[:worker_url] || Application.get_env(:stead, :servers)
  end

  @doc "The header with the token of options or the configuration."
  @spec authorization(options()) :: [{String.t(), String.t()}]
  def authorization(options) do
    case Keyword.get(options, :token, Application.get_env(:stead, :token)) do
      nil -> []
      token -> [{"authorization", "Bearer " <> token}]
    end
  end

  @doc "A fresh idempotency key."
  @spec fresh_key() :: String.t()
  def fresh_key, do: Base.url_encode64(:crypto.strong_rand_bytes(18))

  @doc "The idempotency key of options, a fresh one for `:generate`."
  @spec idempotency_key(options()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def idempotency_key(options) do
    case options[:idempotency_key] do
      nil -> {:ok, nil}
      :generate -> {:ok, fresh_key()}
      key -> if visible?(key), do: {:ok, key}, else: {:error, bad_key()}
    end
  end

  @doc false
  # Made by the application, which owns it.
  def new_table, do: :ets.new(@table, [:named_table, :public, read_concurrency: true])

  defp visible?(key), do: is_binary(key) and key =~ ~r/\A[\x21-\x7e]{1,255}\z/
  defp bad_key, do: Error.invalid("an idempotency key is 1 to 255 visible ASCII characters, or :generate")

  defp encode(nil), do: {:ok, nil}

  defp encode(body) do
    case Stead.JSON.encode(body) do
      {:ok, text} -> {:ok, text}
      {:error, reason} -> {:error, Error.invalid("there is no JSON for what was given: #{inspect(reason)}")}
    end
  end

  defp headers(text, key, options) do
    type = if text, do: [{"content-type", "application/json"}], else: []
    key = if key, do: [{"idempotency-key", key}], else: []
    version = if options[:if_match], do: [{"if-match", ~s("#{options[:if_match]}")}], else: []
    [{"accept", "application/json"} | type] ++ key ++ version ++ authorization(options)
  end

  defp attempt(asked, index, attempts) do
    server = Enum.at(asked.servers, index)

    case server |> HTTP.ask(asked.request, asked.deadline, asked.tls) |> Answer.read(asked.repeatable?) do
      {:ok, decoded, headers} ->
        prefer(asked.servers, index)
        {:ok, decoded, headers}

      {:error, error, again} ->
        retry(asked, index, attempts, error, again)
    end
  end

  defp retry(asked, index, attempts, error, again) do
    pause_ms = pause_ms(asked, attempts, error, again)

    if again == :no or attempts >= asked.retries or HTTP.left(asked.deadline) <= pause_ms do
      {:error, error}
    else
      Process.sleep(pause_ms)
      attempt(asked, rem(index + 1, length(asked.servers)), attempts + 1)
    end
  end

  # The first look at each server costs no pause: that one is down says nothing about the next.
  defp pause_ms(asked, attempts, _error, :elsewhere) when attempts + 1 < length(asked.servers), do: 0

  defp pause_ms(_asked, attempts, error, _again) do
    max(Backoff.delay_ms(attempts, @pause_ms, @pause_max_ms), error.retry_after_ms || 0)
  end

  defp preferred(servers) do
    case :ets.lookup(@table, servers) do
      [{_servers, index}] -> index
      [] -> 0
    end
  end

  defp prefer(servers, index) do
    if preferred(servers) != index, do: :ets.insert(@table, {servers, index})
  end
end
