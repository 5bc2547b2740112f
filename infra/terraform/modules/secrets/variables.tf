variable "name" {
  description = "First part of every name."
  type        = string
}

variable "secrets" {
  description = "Descriptions of the secrets by the last part of their names."
  type        = map(string)
}
