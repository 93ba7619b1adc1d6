defmodule Phoenix.Socket do
  @moduledoc "Stands in for Phoenix; see `Phoenix.Channel` here."

  defstruct topic: nil, transport_pid: nil, assigns: %{}
  @type t :: %__MODULE__{}

  def assign(%__MODULE__{} = socket, key, value), do: %{socket | assigns: Map.put(socket.assigns, key, value)}
end
