defmodule Stead.Socket.Delta do
  @moduledoc false
  # Edits of a text in Quill's form. Lengths count UTF-16 units, as Yjs does. Pure.

  @doc "The text after the edits; `:error` if they do not fit it."
  @spec apply(String.t(), [map()]) :: {:ok, String.t()} | :error
  def apply(text, delta) do
    with {:ok, edited} <- edit(delta, utf16(text), []),
         text when is_binary(text) <- :unicode.characters_to_binary(edited, {:utf16, :big}, :utf8) do
      {:ok, text}
    else
      _ -> :error
    end
  end

  defp edit([], rest, done), do: {:ok, IO.iodata_to_binary([done, rest])}

  defp edit([%{"insert" => text} | delta], rest, done) when is_binary(text) do
    edit(delta, rest, [done, utf16(text)])
  end

  defp edit([%{"retain" => units} | delta], rest, done) do
    with {:ok, kept, rest} <- split(rest, units), do: edit(delta, rest, [done, kept])
  end

  defp edit([%{"delete" => units} | delta], rest, done) do
    with {:ok, _deleted, rest} <- split(rest, units), do: edit(delta, rest, done)
  end

  # What is not text has a length in the document and none in its text.
  defp edit(_other, _rest, _done), do: :error

  defp split(bytes, units) do
    case bytes do
      <<first::binary-size(units)-unit(16), rest::binary>> -> {:ok, first, rest}
      _ -> :error
    end
  end

  defp utf16(text), do: :unicode.characters_to_binary(text, :utf8, {:utf16, :big})
end
