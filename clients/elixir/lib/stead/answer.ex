defmodule Stead.Answer do
  @moduledoc false
  # What an HTTP exchange means: a decoded body, or an error and whether another attempt may follow.
  #
  # Native errors are `application/problem+json` and say everything. The worker-compatible API has a text or
  # `{"success":false,"error":...}` and a status, from which the same is inferred.

  alias Stead.Error

  # Longest text of an answer that becomes part of an error, in characters.
  @detail_max 1_000

  @typedoc "May the request be sent again: not, after a pause, or at once to another server."
  @type again :: :no | :later | :elsewhere

  @doc "Reads an exchange; `repeatable?` says that doing it twice does no harm."
  @spec read({:ok, Stead.HTTP.answer()} | {:error, :not_sent | :sent, term()}, boolean()) ::
          {:ok, term(), %{String.t() => String.t()}} | {:error, Error.t(), again()}
  def read({:error, :not_sent, reason}, _repeatable?) do
    detail = "no connection: #{inspect(reason)}"
    {:error, %Error{code: "connection_failed", detail: detail, retry: :safe}, :elsewhere}
  end

  def read({:error, :sent, reason}, repeatable?) do
    code = if reason == :timeout, do: "timeout", else: "connection_lost"
    detail = "no answer: #{inspect(reason)}"
    error = %Error{code: code, detail: detail, retry: if(repeatable?, do: :safe, else: :unknown)}
    {:error, error, if(repeatable?, do: :elsewhere, else: :no)}
  end

  def read({:ok, %{status: status, body: "", headers: headers}}, _repeatable?) when status in 200..299 do
    {:ok, %{}, headers}
  end

  def read({:ok, %{status: status} = answer}, _repeatable?) when status in 200..299 do
    case Stead.JSON.decode(answer.body) do
      {:ok, decoded} ->
        {:ok, decoded, answer.headers}

      {:error, reason} ->
        detail = "the answer is not JSON: #{inspect(reason)}"
        {:error, %Error{status: status, code: "invalid_response", detail: detail, retry: :unknown}, :no}
    end
  end

  def read({:ok, answer}, repeatable?) do
    error = error(answer)

    again =
      cond do
        error.retry == :safe -> :later
        # A refusal and a bug look alike there, and a refusal stays one.
        error.code == "refused" -> :no
        error.retry == :unknown and repeatable? -> :later
        true -> :no
      end

    {:error, error, again}
  end

  @doc "The error that an answer without success is."
  @spec error(Stead.HTTP.answer()) :: Error.t()
  def error(%{status: status, headers: headers, body: body}) do
    {code, detail, retry} =
      case Stead.JSON.decode(body) do
        {:ok, %{"code" => code, "detail" => detail} = problem} when is_binary(code) ->
          {code, detail, Error.parse_retry(problem["retry"], elem(inferred(status, ""), 1))}

        {:ok, %{"error" => message}} when is_binary(message) ->
          {code, retry} = inferred(status, message)
          {code, message, retry}

        _ ->
          {code, retry} = inferred(status, body)
          {code, text(body, status), retry}
      end

    %Error{status: status, code: code, detail: detail, retry: retry, retry_after_ms: retry_after_ms(headers)}
  end

  defp text("", status), do: "HTTP status #{status}"

  defp text(body, _status),
    do: if(String.valid?(body), do: String.slice(body, 0, @detail_max), else: "(bytes)")

  defp retry_after_ms(%{"retry-after" => seconds}) do
    case Integer.parse(seconds) do
      {seconds, ""} when seconds >= 0 -> seconds * 1_000
      _ -> nil
    end
  end

  defp retry_after_ms(_headers), do: nil

  defp inferred(404, "Key not found"), do: {"key_not_found", :never}
  defp inferred(404, "Method not found"), do: {"method_not_found", :never}
  defp inferred(400, _), do: {"invalid_request", :never}
  defp inferred(401, _), do: {"unauthenticated", :never}
  defp inferred(403, _), do: {"forbidden", :never}
  defp inferred(404, _), do: {"not_found", :never}
  defp inferred(405, _), do: {"method_not_allowed", :never}
  defp inferred(408, _), do: {"request_timeout", :safe}
  defp inferred(409, _), do: {"conflict", :never}
  defp inferred(413, _), do: {"body_too_large", :never}
  defp inferred(422, _), do: {"idempotency_key_reused", :never}
  defp inferred(429, _), do: {"overloaded", :safe}
  # The worker's status for what its methods refuse, and for bugs.
  defp inferred(500, _), do: {"refused", :unknown}
  defp inferred(503, _), do: {"unavailable", :safe}
  defp inferred(504, _), do: {"outcome_unknown", :unknown}
  defp inferred(status, _) when status in 300..399, do: {"redirected", :never}
  defp inferred(status, _) when status in 500..599, do: {"http_error", :unknown}
  defp inferred(_status, _), do: {"http_error", :never}
end
