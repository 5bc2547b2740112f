variable "name" {
  description = "First part of every name."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network; four bits of it number the subnets."
  type        = string
  default     = "10.42.0.0/20"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && can(cidrhost(var.cidr, 1))
    error_message = "Expected an IPv4 network of at most 24 bits, such as 10.42.0.0/20."
  }
}

variable "has_nat" {
  description = "Tasks run in private subnets behind one NAT gateway; without it they have public addresses."
  type        = bool
}

variable "allowed_domains" {
  description = "Names that may be resolved besides AWS's own, such as *.googleapis.com; empty resolves all."
  type        = list(string)
  default     = []
}

variable "zone_letters" {
  description = "Last letters of the availability zones; look yours up where the region has no such zones."
  type        = list(string)
  default     = ["a", "b"]
}
