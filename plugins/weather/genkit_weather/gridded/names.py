"""What files call their axes: by the attributes of the CF conventions, and by names in use."""

from typing import Any

import xarray as xr
from cf_xarray.criteria import coordinate_criteria

ROLES = {
    "time": ("time", "valid_time", "times", "xtime", "t", "date", "datetime"),
    "start": ("start", "forecast_reference_time", "init_time", "analysis_time", "reference_time", "initial_time",
              "reftime"),
    "step": ("step", "lead_time", "lead", "leadtime", "prediction_timedelta", "forecast_period",
             "elapsed_forecast_duration"),
    "member": ("number", "member", "members", "memb", "realization", "realisation", "ensemble", "ens",
               "ensemble_member", "ensemble_mem", "sample", "perturbationnumber"),
    "latitude": ("latitude", "lat", "xlat", "xlat_m", "nav_lat", "lats", "gridlat_0", "clat", "lat_rho"),
    "longitude": ("longitude", "lon", "xlong", "xlong_m", "nav_lon", "lons", "long", "gridlon_0", "clon",
                  "lon_rho"),
    "y": ("y", "south_north", "rlat", "yc", "projection_y_coordinate", "grid_latitude", "northing", "ygrid_0",
          "nj", "j", "eta_rho"),
    "x": ("x", "west_east", "rlon", "xc", "projection_x_coordinate", "grid_longitude", "easting", "xgrid_0",
          "ni", "i", "xi_rho"),
    "level": ("level", "lev", "plev", "pressure_level", "isobaricinhpa", "isobaricinpa", "pressure", "height", "hybrid",
              "heightaboveground", "depth", "depthbelowland", "depthbelowlandlayer", "soil_level", "bottom_top",
              "model_level", "z", "hybridlevel", "surface", "soil_layers_stag", "altitude"),
    "version": ("expver",),
}  # fmt: skip
POINTS = ("cell", "ncells", "values", "grid_index", "point", "points", "station", "location", "node", "nmesh2d_face")
TURNED = "rlat", "rlon", "grid_latitude", "grid_longitude"  # degrees of a rotated pole, whatever their units
STANDARD = {"forecast_reference_time": "start", "forecast_period": "step", "realization": "member"}
CF = {
    "latitude": "latitude",
    "longitude": "longitude",
    "T": "time",
    "Z": "level",
    "vertical": "level",
    "Y": "y",
    "X": "x",
}


def role(name: Any, file: xr.Dataset) -> str | None:
    """Which axis a dimension or coordinate is: a key of ROLES, or None.

    A known name counts most (files of the Climate Data Store call valid times forecast_reference_time), but x and y
    may be degrees. Then its attributes count: standard_name, units, axis, positive; then the name without digits
    at its end, so that height0 is a height. Else a dimension of dates is time.
    """
    plain, said = str(name).lower(), _said(name, file)
    known = _named(plain)
    if said in ("longitude", "latitude") and known in ("x", "y", None):
        return {"longitude": "x", "latitude": "y"}[said] if _turned(name, file) else said
    if found := known or said or _named(plain.rstrip("0123456789").rstrip("_")):
        return found
    if name not in file.variables:
        return None
    dated = " since " in str(file[name].encoding.get("units", "")) or file[name].dtype.kind == "M"
    return "time" if name in file.dims and dated else None


def _named(plain: str) -> str | None:
    return next((key for key, names in ROLES.items() if plain in names), None)


def _turned(name: Any, file: xr.Dataset) -> bool:
    """Whether degrees along a row or column are those of a rotated pole: it is called so, or a grid mapping is one."""
    if str(name).lower() in TURNED or str(file[name].attrs.get("standard_name", "")).startswith("grid_"):
        return True
    mappings = [(a.attrs.get("grid_mapping_name"), str(a.attrs.get("crs_wkt"))) for a in file.variables.values()]
    pole = any(kind == "rotated_latitude_longitude" or "DERIVINGCONVERSION" in wkt for kind, wkt in mappings)
    return pole and file[name].ndim == 1


def _said(name: Any, file: xr.Dataset) -> str | None:
    """The role by the attributes of a variable."""
    if name not in file.variables:
        return None
    attrs = {k: v for k, v in file[name].attrs.items() if isinstance(v, str)}
    cf = (CF[key] for key in CF if any(attrs.get(a) in known for a, known in coordinate_criteria[key].items()))
    return STANDARD.get(attrs.get("standard_name", "")) or next(cf, None)


def find(file: xr.Dataset, wanted: str) -> list[str]:
    """Variables and coordinates of a role, those whose name is first in its list first."""
    names = ROLES[wanted]
    found = [str(n) for n in file.variables if role(n, file) == wanted]
    return sorted(found, key=lambda n: names.index(n.lower()) if n.lower() in names else len(names))


def described(file: xr.Dataset) -> str:
    """All variables with their dimensions, for errors."""
    return ", ".join(f"{name} {tuple(map(str, a.dims))}" for name, a in file.data_vars.items()) or "no variables"
