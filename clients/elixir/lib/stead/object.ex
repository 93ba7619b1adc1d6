defmodule Stead.Object do
  @moduledoc """
  Objects of every class over the native HTTP API: versions, conditions, lists, history.

  An object is named `"class/name"`, where the name is all after the first `/`, or `{class, name}`:

      {:ok, %{"result" => %{"value" => 1}, "version" => 1}} = Stead.Object.call("counter/visits", "increment")
      {:ok, %{"state" => %{"value" => 1}}} = Stead.Object.get("counter/visits")

  Options are those of `Stead.Client`, and

    * `:servers` - one address or several; without it `config :stead, servers: [...]`
    * `:if_match` - the version that the object must be at, `0` if it must not exist; else the error is
      `"version_mismatch"`

  Answers are the server's, decoded, with text keys.
  """

  alias Stead.{Error, Request}

  @type name :: String.t() | {class :: String.t(), name :: String.t()}
  @type answer :: {:ok, map()} | {:error, Error.t()}
  @type options :: Request.options()

  @doc "The object: `%{\"class\", \"name\", \"version\", \"state\", \"updated_at\"}`."
  @spec get(name(), options()) :: answer()
  def get(object, options \\ []), do: ask(:read, "GET", object, "", nil, options)

  @doc "Puts each key of `state`, and makes the object if it is not there: `%{\"class\", \"name\", \"version\"}`."
  @spec put(name(), map(), options()) :: answer()
  def put(object, state, options \\ []), do: ask(:write, "PUT", object, "", state, options)

  @doc "Deletes the object: `%{\"version\" => version}`, the version that the deletion took."
  @spec delete(name(), options()) :: answer()
  def delete(object, options \\ []), do: ask(:write, "DELETE", object, "", nil, options)

  @doc "Calls a method: `%{\"result\", \"version\"}`."
  @spec call(name(), String.t(), map(), options()) :: answer()
  def call(object, method, params \\ %{}, options \\ []) do
    ask(:write, "POST", object, "/methods/#{encode(method)}", params, options)
  end

  @doc "Reads a key: `%{\"key\", \"value\", \"version\"}`."
  @spec get_key(name(), String.t(), options()) :: answer()
  def get_key(object, key, options \\ []),
    do: ask(:read, "GET", object, "/state/#{encode(key)}", nil, options)

  @doc "Puts a key: `%{\"key\", \"version\"}`."
  @spec put_key(name(), String.t(), term(), options()) :: answer()
  def put_key(object, key, value, options \\ []) do
    ask(:write, "PUT", object, "/state/#{encode(key)}", %{"value" => value}, options)
  end

  @doc "Deletes a key: `%{\"version\" => version}`."
  @spec delete_key(name(), String.t(), options()) :: answer()
  def delete_key(object, key, options \\ []) do
    ask(:write, "DELETE", object, "/state/#{encode(key)}", nil, options)
  end

  @doc """
  A page of keys in their order, for states too large for one answer: `%{"entries", "cursor", "version"}`.

  Takes `:prefix`, `:limit` and, for the next page, `:cursor`.
  """
  @spec entries(name(), options()) :: answer()
  def entries(object, options \\ []) do
    ask(:read, "GET", object, "/state" <> query(options, [:prefix, :limit, :cursor]), nil, options)
  end

  @doc """
  The updates after version `since`: `%{"updates", "version", "complete"}`. Takes `:limit`.

  `"complete" => false`: the history kept no longer reaches back that far.
  """
  @spec updates(name(), non_neg_integer(), options()) :: answer()
  def updates(object, since, options \\ []) do
    options = Keyword.put(options, :since, since)
    ask(:read, "GET", object, "/updates" <> query(options, [:since, :limit]), nil, options)
  end

  @doc "Where the object is: `%{\"id\", \"slot\", \"shard\", \"leader\", \"replicas\"}`."
  @spec location(name(), options()) :: answer()
  def location(object, options \\ []), do: ask(:read, "GET", object, "/location", nil, options)

  @doc """
  A page of a class's objects in the order of their names: `%{"objects", "cursor"}`.

  Takes `:prefix`, `:limit` and, for the next page, `:cursor`.
  """
  @spec list(String.t(), options()) :: answer()
  def list(class, options \\ []) do
    run(
      :read,
      "GET",
      "/v1/objects/#{encode(class)}" <> query(options, [:prefix, :limit, :cursor]),
      nil,
      options
    )
  end

  @doc "The path of an object, under `/v1/objects`."
  @spec path(name()) :: {:ok, String.t()} | {:error, Error.t()}
  def path(object) do
    with {:ok, {class, name}} <- parse(object), do: {:ok, "/v1/objects/#{encode(class)}/#{encode(name)}"}
  end

  @doc "Class and name of an object."
  @spec parse(name()) :: {:ok, {String.t(), String.t()}} | {:error, Error.t()}
  def parse({class, name}) when is_binary(class) and is_binary(name) and class != "" and name != "" do
    {:ok, {class, name}}
  end

  def parse(text) when is_binary(text) do
    case String.split(text, "/", parts: 2) do
      [class, name] when class != "" and name != "" -> {:ok, {class, name}}
      _ -> {:error, Error.invalid("an object is named class/name, not #{inspect(text)}")}
    end
  end

  def parse(other), do: {:error, Error.invalid("an object is named class/name, not #{inspect(other)}")}

  defp ask(effect, verb, object, rest, body, options) do
    with {:ok, path} <- path(object), do: run(effect, verb, path <> rest, body, options)
  end

  defp run(effect, verb, path, body, options) do
    case Request.run(effect, verb, path, body, options) do
      {:ok, decoded, %{"x-stead-version" => version}} when decoded == %{} ->
        {:ok, %{"version" => String.to_integer(version)}}

      {:ok, decoded, _headers} ->
        {:ok, decoded}

      {:error, error} ->
        {:error, error}
    end
  end

  defp encode(part), do: URI.encode(to_string(part), &URI.char_unreserved?/1)

  defp query(options, names) do
    case for {name, value} <- Keyword.take(options, names), do: {name, value} do
      [] -> ""
      given -> "?" <> URI.encode_query(given)
    end
  end
end
