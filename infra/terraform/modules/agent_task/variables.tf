variable "names" {
  description = "Names by what they are, of agent_spec."
  type = object({
    family         = string
    gateway_family = string
    cluster        = string
    log_group      = string
    execution_role = string
  })
}

variable "has_image" {
  description = "Whether an image was pushed; without one there is no task definition."
  type        = bool
}

variable "container_definitions" {
  description = "The containers as JSON; null without an image."
  type        = string
}

variable "is_gateway_apart" {
  description = "The gateway is a task of its own, and the agent reaches nothing but it and S3."
  type        = bool
}

variable "gateway_container_definitions" {
  description = "The gateway's container as JSON where it is a task of its own; else null."
  type        = string
}

variable "gateway_size" {
  description = "CPU units and MiB of the gateway's own task."
  type        = object({ cpu = string, memory = string })
}

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "size" {
  description = "CPU units and MiB of the task."
  type        = object({ cpu = string, memory = string })
}

variable "tasks_trust" {
  description = "Who may take the execution role, as JSON."
  type        = string
}

variable "execution_policy" {
  description = "What the execution role may do, as JSON."
  type        = string
}

variable "launcher_policy" {
  description = "What launchers may do, as JSON."
  type        = string
}

variable "log_days" {
  description = "Log lines of tasks go after so many days."
  type        = number
  default     = 30
}

variable "vpc_id" {
  description = "The network that tasks run in."
  type        = string
}
