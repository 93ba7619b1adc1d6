defmodule Stead.Application do
  @moduledoc false
  # What outlives a call: connections kept for the next, the registries of events and of sockets, the supervisor of sockets that were opened and
  # not put under a supervisor of the application's own, and which server answered last.

  use Application

  # Sockets that die in 5 s before it is taken for a fault of this package; each dies of a bug only.
  @restarts_max 100

  @impl true
  def start(_type, _arguments) do
    Stead.Request.new_table()

    children = [
      Stead.Idle,
      Stead.Events,
      {Registry, keys: :unique, name: Stead.Socket.Registry},
      {DynamicSupervisor, name: Stead.Socket.Supervisor, strategy: :one_for_one, max_restarts: @restarts_max}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Stead.Supervisor)
  end
end
